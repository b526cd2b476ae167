// Draws robots on a floor by WebGL 2: bodies as triangles, at poses between the frames of their tracks.
"use strict";

const VERTEX = `#version 300 es
in vec3 place; in vec3 normal;
uniform mat4 view; uniform vec4 turn; uniform vec3 origin; uniform float scale; uniform vec3 light; uniform bool flat_; uniform vec3 eye; uniform float behind;
out vec3 world; out vec3 slope;
vec3 turned(vec3 v) { return v + 2.0 * cross(turn.yzw, cross(turn.yzw, v) + turn.x * v); }
void main() {
  world = turned(place * scale) + origin;
  slope = turned(normal);
  if (flat_) { world.xy -= light.xy / light.z * world.z; world.z = 0.002; }
  gl_Position = view * vec4(world + behind * normalize(world - eye), 1.0);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec3 world; in vec3 slope;
uniform vec4 colour; uniform vec3 light; uniform vec3 eye; uniform int kind; uniform vec3 paper; uniform vec3 line;
out vec4 seen;
void main() {
  if (kind == 2) { seen = colour; return; }
  if (kind == 3) {  // the floor: lines every half metre, fading into the distance
    vec2 cell = world.xy * 2.0, near = abs(fract(cell - 0.5) - 0.5) / max(fwidth(cell), 1e-4);
    float drawn = 1.0 - min(min(near.x, near.y), 1.0);
    float fade = smoothstep(3.0, 11.0, distance(world.xy, eye.xy));
    seen = vec4(mix(mix(colour.rgb, line, drawn), paper, fade), 1.0);
    return;
  }
  vec3 n = kind == 1 ? normalize(slope) : normalize(cross(dFdx(world), dFdy(world)));
  float lit = 0.5 + 0.5 * max(dot(n, light), 0.0) + 0.25 * max(dot(n, normalize(eye - world)), 0.0);
  seen = vec4(colour.rgb * lit, colour.a);
}`;
const INT16 = 32767, FOLLOWS_S = 0.4, BEHIND_M = 0.05;  // a ghost shows before the robot only where it is nearer by that

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const sub = (a, b) => a.map((v, i) => v - b[i]);
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a) => a.map((v) => v / (Math.hypot(...a) || 1));

// The poses of one track: place and quaternion of a body at a time [s], between two frames.
class Track {
  constructor(track) {
    Object.assign(this, track, { poses: new Int16Array(bytes(track.poses)) });
    this.height = 0;
    for (let frame = 0; frame < this.frames; frame++) this.height += this.pose(1, frame / this.fps)[0][2] / this.frames;
  }

  pose(body, time) {
    const at = Math.min(Math.max(time * this.fps, 0), this.frames - 1), frame = Math.min(Math.floor(at), this.frames - 2);
    const from = (Math.max(frame, 0) * this.bodies + body) * 7, to = this.frames > 1 ? from + this.bodies * 7 : from;
    const part = at - Math.max(frame, 0), p = this.poses, q = [], x = [];
    for (let i = 0; i < 3; i++) x.push((p[from + i] + part * (p[to + i] - p[from + i])) * this.scale / INT16);
    const same = dot([0, 1, 2, 3].map((i) => p[from + 3 + i]), [0, 1, 2, 3].map((i) => p[to + 3 + i])) < 0 ? -1 : 1;
    for (let i = 3; i < 7; i++) q.push(p[from + i] + part * (same * p[to + i] - p[from + i]));
    return [x, unit(q)];
  }

  // where the root is, its steps smoothed away
  middle(time) {
    const places = [-1, -0.5, 0, 0.5, 1].map((k) => this.pose(1, time + k * FOLLOWS_S)[0]);
    return [0, 1, 2].map((i) => places.reduce((sum, p) => sum + p[i] / places.length, 0));
  }
}

class Player {
  // Throws where the browser draws no WebGL 2.
  constructor(canvas, geometries) {
    this.canvas = canvas;
    const gl = this.gl = canvas.getContext("webgl2", { stencil: true, antialias: true, preserveDrawingBuffer: true });
    if (!gl) throw new Error("no WebGL 2");
    const program = this.program = gl.createProgram();
    [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]].forEach(([kind, source]) => {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    });
    gl.bindAttribLocation(program, 0, "place");
    gl.bindAttribLocation(program, 1, "normal");
    gl.linkProgram(program);
    gl.useProgram(program);
    this.at = new Proxy({}, { get: (known, name) => known[name] ??= gl.getUniformLocation(program, name) });
    this.bodies = geometries.map((geometry) => geometry.parts.map((part) => this.part(part)));
    this.floor = this.upload(new Int16Array([-INT16, -INT16, 0, INT16, -INT16, 0, -INT16, INT16, 0, INT16, INT16, 0]),
      new Float32Array(12), new Uint16Array([0, 1, 2, 2, 1, 3]));
    this.camera = { azimuth: 130, elevation: -14, distance: 3 };
    this.figures = [];
  }

  part(part) {
    const vertices = new Int16Array(bytes(part.vertices)), triangles = new Uint16Array(bytes(part.triangles));
    const normals = new Float32Array(vertices.length), at = (i) => [0, 1, 2].map((k) => vertices[3 * i + k]);
    for (let t = 0; part.round && t < triangles.length; t += 3) {
      const [a, b, c] = [0, 1, 2].map((k) => at(triangles[t + k])), n = cross(sub(b, a), sub(c, a));
      for (let k = 0; k < 3; k++) n.forEach((v, i) => { normals[3 * triangles[t + k] + i] += v; });
    }
    return { ...part, ...this.upload(vertices, normals, triangles) };
  }

  upload(vertices, normals, triangles) {
    const gl = this.gl, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    [[vertices, 3, gl.SHORT, true], [normals, 3, gl.FLOAT, false]].forEach(([data, size, kind, share], index) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(index);
      gl.vertexAttribPointer(index, size, kind, share, 0, 0);
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);
    return { array, count: triangles.length };
  }

  // figures: [{geometry: index, track: Track, ghost: null or its colour}], the first is followed
  show(figures) {
    this.figures = figures;
  }

  draw(time, theme) {
    const gl = this.gl, at = this.at, ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio), height = Math.round(this.canvas.clientHeight * ratio);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(...theme.paper, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT | gl.STENCIL_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    if (!this.figures.length) return;
    const aim = this.figures[0].track.middle(time);
    aim[2] = 0.5 * (aim[2] + this.figures[0].track.height);  // a leap is to be seen, not followed
    const eye = this.look(aim, width / Math.max(height, 1));
    const a = this.camera.azimuth * Math.PI / 180;  // light from behind the eye, its left, and above
    gl.uniform3fv(at.light, unit([-0.35 * Math.cos(a) - 0.45 * Math.sin(a), -0.35 * Math.sin(a) + 0.45 * Math.cos(a), 1]));
    gl.uniform3fv(at.eye, eye);
    gl.uniform3fv(at.paper, theme.paper);
    gl.uniform3fv(at.line, theme.line);
    gl.uniform1i(at.flat_, 0);
    gl.uniform1f(at.behind, 0);
    gl.uniform1i(at.kind, 3);
    gl.uniform4f(at.colour, ...theme.floor, 1);
    this.piece(this.floor, [aim[0], aim[1], 0], [1, 0, 0, 0], 40);
    const solid = this.figures.filter((figure) => !figure.ghost), ghosts = this.figures.filter((figure) => figure.ghost);
    gl.uniform1i(at.flat_, 1);  // shadows: each place of the floor once
    gl.uniform1i(at.kind, 2);
    gl.uniform4f(at.colour, 0, 0, 0, 0.3);
    gl.enable(gl.BLEND);
    gl.enable(gl.STENCIL_TEST);
    gl.stencilFunc(gl.EQUAL, 0, 255);
    gl.stencilOp(gl.KEEP, gl.KEEP, gl.INCR);
    solid.forEach((figure) => this.figure(figure, time, null));
    gl.disable(gl.STENCIL_TEST);
    gl.disable(gl.BLEND);
    gl.uniform1i(at.flat_, 0);
    solid.forEach((figure) => this.figure(figure, time, (part) => [...part.rgb, 1]));
    gl.uniform1f(at.behind, BEHIND_M);
    ghosts.forEach((figure) => {  // its depth first, so that only its outside is seen
      gl.colorMask(false, false, false, false);
      this.figure(figure, time, () => [0, 0, 0, 0]);
      gl.colorMask(true, true, true, true);
      gl.enable(gl.BLEND);
      gl.depthFunc(gl.LEQUAL);
      this.figure(figure, time, () => [...figure.ghost, 0.5]);
      gl.depthFunc(gl.LESS);
      gl.disable(gl.BLEND);
    });
  }

  figure(figure, time, colour) {
    this.bodies[figure.geometry].forEach((part) => {
      const [place, turn] = figure.track.pose(part.body, time);
      if (colour) {
        this.gl.uniform4fv(this.at.colour, colour(part));
        this.gl.uniform1i(this.at.kind, part.round ? 1 : 0);
      }
      this.piece(part, place, turn, part.scale);
    });
  }

  piece(part, place, turn, scale) {
    const gl = this.gl;
    gl.uniform3fv(this.at.origin, place);
    gl.uniform4fv(this.at.turn, turn);
    gl.uniform1f(this.at.scale, scale);
    gl.bindVertexArray(part.array);
    gl.drawElements(gl.TRIANGLES, part.count, gl.UNSIGNED_SHORT, 0);
  }

  // Sets the view onto `aim`; returns where the eye is. Azimuth and elevation as MuJoCo's [deg].
  look(aim, aspect) {
    const [a, e] = [this.camera.azimuth, this.camera.elevation].map((deg) => deg * Math.PI / 180);
    const ahead = [Math.cos(e) * Math.cos(a), Math.cos(e) * Math.sin(a), Math.sin(e)];
    const right = [Math.sin(a), -Math.cos(a), 0], up = cross(right, ahead);
    const eye = aim.map((v, i) => v - this.camera.distance * ahead[i]);
    const near = 0.05, far = 90, f = Math.min(1, aspect) / Math.tan(0.36), g = f / aspect, d = (near + far) / (near - far);
    const rows = [right.map((v) => g * v), up.map((v) => f * v), ahead.map((v) => -d * v), ahead];
    const shift = [-dot(rows[0], eye), -dot(rows[1], eye), -dot(rows[2], eye) + 2 * near * far / (near - far), -dot(ahead, eye)];
    this.gl.uniformMatrix4fv(this.at.view, false, [0, 1, 2].flatMap((k) => rows.map((row) => row[k])).concat(shift));
    return eye;
  }
}
