// Steps the policy of a bundle as a robot would and compares it with what was recorded: `replay BUNDLE`.
//
// A control step on a robot is the body of the loop in `main`: fill the inputs from the sensors, run the graph, send `target`,
// and keep `action` (and `next_history`) for the next step. Units, frames and the torque law: policy.json.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "npz.h"

constexpr double kAgreement = 1e-5;  // relative above 1, as `mimic check-bundle` has it

// Row `step` of a recorded array, as a tensor that borrows its memory.
Ort::Value row(Array& array, int64_t step, const std::vector<int64_t>& shape) {
  const size_t width = array.bytes.size() / static_cast<size_t>(array.shape.at(0));
  char* data = array.bytes.data() + static_cast<size_t>(step) * width;
  const ONNXTensorElementDataType type = array.dtype == "<f4"   ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
                                         : array.dtype == "<i8" ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
                                                                : ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  return Ort::Value::CreateTensor(memory, data, width, shape.data(), shape.size(), type);
}

int replay(const std::string& bundle) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR);
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);  // fastest for a small network
  Ort::Session session(env, (bundle + "/raw.onnx").c_str(), options);
  std::map<std::string, Array> recorded = read_npz(bundle + "/test_vectors.npz");

  std::vector<std::string> names, outputs;
  std::vector<std::vector<int64_t>> shapes;
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < session.GetInputCount(); ++i) {
    names.emplace_back(session.GetInputNameAllocated(i, allocator).get());
    shapes.push_back(session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape());
    if (!recorded.count(names.back())) throw std::runtime_error("test_vectors.npz has no " + names.back());
  }
  for (size_t i = 0; i < session.GetOutputCount(); ++i) outputs.emplace_back(session.GetOutputNameAllocated(i, allocator).get());
  std::vector<const char*> input_names, output_names;
  for (const std::string& name : names) input_names.push_back(name.c_str());
  for (const std::string& name : outputs) output_names.push_back(name.c_str());

  std::map<std::string, double> worst;
  const std::vector<int64_t> own_shape = recorded.at("action").shape;
  std::vector<float> last_action(static_cast<size_t>(own_shape.at(1)), 0.0f), history;
  const int64_t steps = own_shape.at(0);
  for (int64_t step = 0; step < steps; ++step) {
    // The robot's memory is our own, not the recorded one: what the policy gave out at the step before.
    Array& given = recorded.at("last_action");
    std::memcpy(given.bytes.data() + static_cast<size_t>(step) * last_action.size() * sizeof(float), last_action.data(),
                last_action.size() * sizeof(float));
    if (!history.empty()) {
      const size_t width = history.size() * sizeof(float);
      std::memcpy(recorded.at("history").bytes.data() + static_cast<size_t>(step) * width, history.data(), width);
    }
    std::vector<Ort::Value> inputs;
    for (size_t i = 0; i < names.size(); ++i) inputs.push_back(row(recorded.at(names[i]), step, shapes[i]));
    std::vector<Ort::Value> results = session.Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.data(), inputs.size(),
                                                  output_names.data(), output_names.size());
    for (size_t i = 0; i < results.size(); ++i) {
      const float* values = results[i].GetTensorData<float>();
      const size_t count = results[i].GetTensorTypeAndShapeInfo().GetElementCount();
      if (outputs[i] == "action") last_action.assign(values, values + count);
      if (outputs[i] == "next_history") {
        history.assign(values, values + count);
        continue;
      }
      const float* expected = reinterpret_cast<const float*>(recorded.at(outputs[i]).bytes.data()) + static_cast<size_t>(step) * count;
      for (size_t j = 0; j < count; ++j) {
        const double difference = std::abs(static_cast<double>(values[j]) - expected[j]) / std::max(1.0f, std::abs(expected[j]));
        if (!(difference <= worst[outputs[i]])) worst[outputs[i]] = difference;  // NaN counts too
      }
    }
  }
  bool passed = true;
  for (const auto& [name, difference] : worst) {
    std::printf("%-8s %lld steps, largest difference %.1e\n", name.c_str(), static_cast<long long>(steps), difference);
    passed = passed && difference <= kAgreement;
  }
  std::printf("%s\n", passed ? "as recorded" : "FAILED: not what was recorded");
  return passed ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: replay BUNDLE\n");
    return 2;
  }
  try {
    return replay(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "replay: %s\n", error.what());
    return 2;
  }
}
