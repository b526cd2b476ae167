// The page's own behaviour: tables that sort, and one time line that player, strips, slider and keys share.
"use strict";

function sortable(table) {
  table.querySelectorAll("thead button").forEach((button) => button.addEventListener("click", () => {
    const head = button.closest("th"), body = table.tBodies[0], column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const numeric = [...body.rows].every((row) => value(row) === "" || !Number.isNaN(Number(value(row))));
    const order = (a, b) => (numeric ? value(a) - value(b) : value(a).localeCompare(value(b)));
    [...body.rows].sort((a, b) => (value(a) === "" ? 1 : value(b) === "" ? -1 : (down ? -1 : 1) * order(a, b)))
      .forEach((row) => body.append(row));
  }));
}

// A colour of the style sheet as three numbers in [0, 1].
function colour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);
}

class Replay {
  constructor(root, data) {
    this.root = root;
    this.clips = data.clips.map((clip) => ({ ...clip, tracks: clip.tracks.map((track) => ({ ...track, poses: new Track(track.poses) })) }));
    this.find = (name) => root.querySelector(`[data-is="${name}"]`);
    this.time = 0;
    this.playing = false;
    this.before = null;
    this.player = null;
    this.looks();
    try {
      this.player = new Player(this.find("canvas"), data.geometries);
    } catch (error) {
      this.find("stage").hidden = true;
      this.find("no-webgl").hidden = false;
    }
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.looks(); this.show(); });
    new ResizeObserver(() => this.show()).observe(this.find("canvas"));
    this.controls();
    this.pointer();
    this.choose(0);
    window.addEventListener("beforeprint", () => this.show());
  }

  looks() {
    this.theme = { paper: colour("--scene"), floor: colour("--floor"), line: colour("--floor-line"), ghost: colour("--ghost") };
  }

  controls() {
    this.find("play").addEventListener("click", () => this.play(!this.playing));
    this.find("seek").addEventListener("input", (event) => { this.play(false); this.seek(Number(event.target.value)); });
    this.find("clip").addEventListener("change", (event) => this.choose(Number(event.target.value)));
    ["solid", "ghost"].forEach((name) => this.find(name).addEventListener("change", () => this.cast()));
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.querySelectorAll(".strips").forEach((strips) => {
      const at = (event) => {
        const box = strips.querySelector(".lane").getBoundingClientRect();
        this.play(false);
        this.seek((event.clientX - box.left) / box.width * this.clip.duration);
      };
      strips.addEventListener("pointerdown", (event) => { if (event.target.closest(".lane")) at(event); });
      strips.addEventListener("pointermove", (event) => { if (event.buttons & 1 && event.target.closest(".lane")) at(event); });
    });
    document.querySelectorAll("button[data-clip]").forEach((button) => button.addEventListener("click", () => {
      this.choose(Number(button.dataset.clip));
      this.seek(Number(button.dataset.time));
      this.root.scrollIntoView();
    }));
  }

  pointer() {
    const canvas = this.find("canvas"), camera = this.player?.camera;
    if (!camera) return;
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.turn(-0.4 * event.movementX, -0.4 * event.movementY, 1);
    });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.turn(0, 0, Math.exp(event.deltaY * 0.001)); }, { passive: false });
  }

  turn(azimuth, elevation, nearer) {
    const camera = this.player?.camera;
    if (!camera) return;
    camera.azimuth += azimuth;
    camera.elevation = Math.min(Math.max(camera.elevation + elevation, -89), 5);
    camera.distance = Math.min(Math.max(camera.distance * nearer, 0.8), 20);
    this.show();
  }

  key(event) {
    const frame = 1 / this.clip.fps, typing = event.target.matches("select, summary, input[type=checkbox]"), button = event.target.matches("button");
    const keys = {
      " ": () => this.play(!this.playing), ArrowRight: () => this.step(frame), ArrowLeft: () => this.step(-frame),
      PageUp: () => this.step(1), PageDown: () => this.step(-1), Home: () => this.step(-Infinity), End: () => this.step(Infinity),
      a: () => this.turn(10, 0, 1), d: () => this.turn(-10, 0, 1), w: () => this.turn(0, -5, 1), s: () => this.turn(0, 5, 1),
      "+": () => this.turn(0, 0, 0.9), "-": () => this.turn(0, 0, 1 / 0.9),
    };
    if (typing || (button && event.key === " ") || !(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  step(seconds) {
    this.play(false);
    this.seek(this.time + seconds);
  }

  // Another clip, with its own strips, from its beginning.
  choose(index) {
    this.clip = this.clips[index];
    this.find("clip").value = index;
    this.root.querySelectorAll(".strips").forEach((strips) => { strips.classList.toggle("away", Number(strips.dataset.clip) !== index); });
    const fill = (name, chosen, none) => {
      const options = this.clip.tracks.map((track, i) => new Option(track.label, i));
      this.find(name).replaceChildren(...options, ...(none ? [new Option("nothing", -1)] : []));
      this.find(name).value = chosen;
    };
    const runs = this.clip.tracks.map((track, i) => (track.reference ? -1 : i)).filter((i) => i >= 0);
    const reference = this.clip.tracks.findIndex((track) => track.reference);
    fill("solid", runs[0], false);
    fill("ghost", runs.length > 1 ? runs[1] : reference, true);
    Object.assign(this.find("seek"), { max: this.clip.duration, step: 1 / this.clip.fps });
    if (this.player) Object.assign(this.player.camera, { azimuth: this.clip.azimuth, distance: this.clip.distance });
    this.cast();
    this.seek(0);
  }

  cast() {
    const tracks = ["solid", "ghost"].map((name) => this.clip.tracks[this.find(name).value]);
    this.player?.show(tracks.flatMap((track, i) => (track ? [{ geometry: track.geometry, track: track.poses, ghost: i ? this.theme.ghost : null }] : [])));
    this.show();
  }

  play(on) {
    if (on && this.time >= this.clip.duration - 1e-6) this.time = 0;
    if (on && !this.playing) requestAnimationFrame((now) => { this.before = now; this.tick(now); });
    this.playing = on;
    this.find("play").textContent = on ? "Pause" : "Play";
  }

  tick(now) {
    if (!this.playing) return;
    this.time += (now - this.before) / 1000 * Number(this.find("speed").value);
    this.before = now;
    if (this.time >= this.clip.duration) {
      if (this.find("loop").checked) this.time %= this.clip.duration;
      else this.play(false);
    }
    this.seek(this.time);
    requestAnimationFrame((next) => this.tick(next));
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.clip.duration);
    this.show();
  }

  show() {
    if (!this.clip) return;
    const { duration, errors } = this.clip;
    this.find("seek").value = this.time;
    const off = errors.map(({ label, mm, fps }) => {
      const frame = Math.round(this.time * fps);
      return `${label} ${frame < mm.length ? mm[frame].toFixed(0) + " mm" : "ended"}`;
    }).join(", ");
    const text = `${this.time.toFixed(2)} of ${duration.toFixed(2)} s${off && ": " + off}`;
    this.find("now").textContent = text;
    this.find("seek").setAttribute("aria-valuetext", text);
    this.root.querySelectorAll(".strips:not(.away) .cursor").forEach((cursor) => { cursor.style.left = `${100 * this.time / duration}%`; });
    this.player?.draw(this.time, this.theme);
  }
}

document.querySelectorAll("table.sortable").forEach(sortable);
const replay = document.getElementById("replay");
if (replay) new Replay(replay, JSON.parse(document.getElementById("data").textContent));
