// Reads the arrays of an .npz that numpy.savez wrote: a zip file without compression, of .npy files.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// `dtype` as numpy spells it ("<f4", "<i8", "|b1"); `bytes` in C order, little-endian.
struct Array {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<char> bytes;

  int64_t size() const {
    int64_t product = 1;
    for (int64_t extent : shape) product *= extent;
    return product;
  }
};

inline uint32_t read_number(const std::string& file, size_t at, size_t width) {
  if (at + width > file.size()) throw std::runtime_error("the .npz ends early");
  uint32_t value = 0;
  std::memcpy(&value, file.data() + at, width);  // little-endian, as the file is
  return value;
}

// What stands between the first `open` after `key` in the header of an .npy, and the `close` after that.
inline std::string between(const std::string& header, const std::string& key, char open, char close) {
  const size_t from = header.find(open, header.find("'" + key + "':") + key.size() + 3);
  const size_t to = header.find(close, from + 1);
  if (from == std::string::npos || to == std::string::npos) throw std::runtime_error("an .npy header lacks " + key);
  return header.substr(from + 1, to - from - 1);
}

// One .npy that starts at `at`; moves `at` behind it.
inline Array read_npy(const std::string& file, size_t& at) {
  if (file.compare(at, 6, "\x93NUMPY") != 0) throw std::runtime_error("not an .npy, or a compressed one");
  const bool old = file.at(at + 6) == 1;
  const size_t length = read_number(file, at + 8, old ? 2 : 4), start = at + (old ? 10 : 12);
  const std::string header = file.substr(start, length);
  if (header.find("'fortran_order': False") == std::string::npos) throw std::runtime_error("an array is not in C order");
  Array array;
  array.dtype = between(header, "descr", '\'', '\'');
  for (const char* p = header.c_str() + header.find('(', header.find("'shape':")) + 1; *p && *p != ')';) {
    char* end = nullptr;
    const int64_t extent = std::strtoll(p, &end, 10);
    if (end != p) array.shape.push_back(extent);
    p = end != p ? end : p + 1;
  }
  const size_t width = static_cast<size_t>(array.size()) * static_cast<size_t>(array.dtype.back() - '0');
  if (start + length + width > file.size()) throw std::runtime_error("the .npz ends early");
  array.bytes.assign(file.data() + start + length, file.data() + start + length + width);
  at = start + length + width;
  return array;
}

inline std::map<std::string, Array> read_npz(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error(path + ": cannot be read");
  const std::string file((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  std::map<std::string, Array> arrays;
  size_t at = 0;
  while (read_number(file, at, 4) == 0x04034b50) {  // a local file header; the directory at the end is not needed
    const size_t name_length = read_number(file, at + 26, 2), extra_length = read_number(file, at + 28, 2);
    const std::string name = file.substr(at + 30, name_length);
    at += 30 + name_length + extra_length;
    arrays[name.substr(0, name.rfind(".npy"))] = read_npy(file, at);
  }
  return arrays;
}
