// Uploads a video, follows its progress and shows the result. Everything is built as DOM elements, so text from a video
// or a file name is never parsed as HTML.
"use strict";

const PALETTE = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee9944", "#44aa99"];
const OTHERS = "#bbbbbb", UNSURE = "unsure", UNSURE_FILL = "#e4e4e4";
const STAGES = { count: "reading", decode: "decoding", flow: "flow", frames: "frames", spatial: "spatial", temporal: "temporal", looking: "looking" };
const at = (id) => document.getElementById(id);
let latest = 0; // Number of the newest upload, the only one that may change the page.

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

// The token, if the service needs one. It is kept only in this tab.
const authorization = () => (sessionStorage.token ? { Authorization: `Bearer ${sessionStorage.token}` } : {});

async function showModel() {
  const answer = await fetch("/model", { headers: authorization() });
  at("token").hidden = answer.ok;
  at("drop").hidden = !answer.ok;
  if (!answer.ok) {
    if (sessionStorage.token) fail((await answer.json()).detail);
    delete sessionStorage.token;
    return;
  }
  at("error").hidden = true;
  const model = await answer.json();
  const fused = model.fusion ? [{ name: "fused", looks_at: `both, by ${model.method}` }] : [];
  at("tiles").replaceChildren(...[...model.streams, ...fused].map((stream) => tile(stream, model.accuracy[stream.name])));
  at("judged").textContent = model.judged || "There is no evaluation of these models, so their accuracy is unknown.";
  at("known").open = model.classes.length <= 24;
  at("known").firstChild.textContent = `They know ${model.classes.length} classes`;
  at("classes").replaceChildren(...model.classes.map((label) => element("li", { textContent: label })));
  const trained = model.streams.map((stream) => `${stream.name} on ${stream.data_set}, split ${stream.split}`);
  at("fusion").textContent = `${model.fusion} Trained: ${trained.join("; ")}.`.trim();
  at("model").hidden = false;
}

// What one stream looks at, and how many test videos it had right.
function tile({ name, looks_at }, accuracy) {
  const made = element("div", { className: "tile" }, element("h3", { textContent: name }));
  made.style.setProperty("--accent", `var(--${name})`);
  if (accuracy != null) made.append(element("strong", { textContent: `${(100 * accuracy).toFixed(1)} %` }));
  made.append(element("span", { textContent: looks_at }));
  return made;
}

function fail(message) {
  at("progress").hidden = true;
  at("error").textContent = message;
  at("error").hidden = false;
}

async function send(file) {
  const mine = ++latest;
  for (const id of ["error", "result"]) at(id).hidden = true;
  at("progress").hidden = false;
  at("name").textContent = file.name;
  showProgress("Uploading", 0, {});
  try {
    const { id } = await upload(file, (share) => mine === latest && showProgress("Uploading", share, {}));
    for (;;) {
      const job = await (await fetch(`/jobs/${id}`, { headers: authorization() })).json();
      if (mine !== latest) return;
      if (job.state === "failed") throw new Error(job.error);
      if (job.state === "done") return show(job.result);
      const words = job.state === "waiting" ? "Waiting for its turn" : "Analysing";
      showProgress(words, job.progress.share || 0, job.progress.seconds || {});
      await new Promise((resume) => setTimeout(resume, 250));
    }
  } catch (problem) {
    if (mine === latest) fail(problem.message);
  }
}

function upload(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/predict?wait=false");
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onerror = () => reject(new Error("The service does not answer."));
    request.onload = () => {
      const answer = JSON.parse(request.responseText);
      request.status === 202 ? resolve(answer) : reject(new Error(answer.detail));
    };
    const form = new FormData();
    form.append("video", file);
    request.send(form);
  });
}

function showProgress(words, share, seconds) {
  at("stage").textContent = words;
  at("share").style.width = `${100 * share}%`;
  const parts = Object.entries(seconds).map(([stage, spent]) =>
    element("li", {}, `${STAGES[stage] || stage} `, element("b", { textContent: `${spent.toFixed(1)} s` })));
  at("stages").replaceChildren(...parts);
}

function show(result) {
  at("progress").hidden = true;
  const verdict = result.top.fused || Object.values(result.top)[0];
  at("best").textContent = result.unsure ? `Unsure: ${verdict[0].class}?` : verdict[0].class;
  at("sure").textContent = `${percent(verdict[0].probability)} probability, ${result.frames} frames, ${clock(result.duration)}`;
  at("streams").replaceChildren(...Object.entries(result.top).map(([name, classes]) => bars(name, classes)));
  at("result").hidden = false; // Shown first, because drawing the timeline needs its width.
  showFilm(result.moments);
  showTimeline(result);
  const total = Object.values(result.seconds).reduce((sum, spent) => sum + spent, 0);
  at("seconds").replaceChildren(...Object.entries({ ...result.seconds, total }).map(([stage, spent]) =>
    element("div", {}, element("dt", { textContent: STAGES[stage] || stage }), element("dd", { textContent: `${spent.toFixed(2)} s` }))));
  at("notes").textContent = result.notes.join("; ");
}

function bars(name, classes) {
  const column = element("div", {}, element("h3", { textContent: name }));
  column.style.setProperty("--accent", `var(--${name})`);
  for (const { class: label, probability } of classes) {
    const filled = element("i");
    filled.style.width = percent(probability).replace(" ", "");
    const line = element("div", { className: "line" }, element("b", { textContent: label }), percent(probability));
    line.firstChild.style.fontWeight = "inherit";
    column.append(element("div", { className: "class" }, line, element("div", { className: "bar" }, filled)));
  }
  return column;
}

function showFilm(moments) {
  const rows = [["Frames", (moment) => moment.frame]];
  if (moments[0].flow) rows.push(["Flow", (moment) => moment.flow]);
  for (const stream of Object.keys(moments[0].looks)) rows.push([`${stream[0].toUpperCase()}${stream.slice(1)} looks`, (moment) => moment.looks[stream]]);
  at("looks").hidden = !Object.keys(moments[0].looks).length; // Not every network has maps that can be traced back.
  const film = at("film");
  film.style.gridTemplateColumns = `max-content repeat(${moments.length}, minmax(84px, 1fr))`;
  film.replaceChildren();
  for (const [title, picture] of rows) {
    film.append(element("div", { className: "row", textContent: title }));
    for (const moment of moments) film.append(element("img", { src: picture(moment), alt: `${title} at ${clock(moment.seconds)}` }));
  }
  film.append(element("div"), ...moments.map((moment) => element("div", { className: "moment", textContent: clock(moment.seconds) })));
}

function showTimeline({ timeline, duration }) {
  const left = 70, width = Math.max(280, at("timeline").clientWidth), steps = width < 600 ? 2 : 6, rows = Object.keys(timeline.stretches), top = 26 * rows.length + 16, height = 130;
  const x = (seconds) => left + (width - left - 10) * Math.min(1, seconds / duration);
  const colours = {};
  const lasting = Object.values(timeline.stretches).flat().sort((a, b) => (b.end - b.start) - (a.end - a.start));
  for (const label of [...Object.keys(timeline.curves), ...lasting.map((part) => part.class)])
    if (label !== UNSURE) colours[label] ??= PALETTE[Object.keys(colours).length] || OTHERS;
  const canvas = drawn("svg", { viewBox: `0 0 ${width} ${top + height + 26}`, role: "img", "aria-label": "What the streams see when" });
  rows.forEach((name, row) => {
    canvas.append(drawn("text", { x: left - 8, y: 26 * row + 15, "text-anchor": "end" }, name));
    for (const part of timeline.stretches[name]) {
      const box = { x: x(part.start), y: 26 * row, width: Math.max(1, x(part.end) - x(part.start) - 1.5), height: 20, rx: 3, fill: part.class === UNSURE ? UNSURE_FILL : colours[part.class] };
      canvas.append(drawn("rect", box, drawn("title", {}, `${part.class} ${percent(part.confidence)}, ${clock(part.start)} to ${clock(part.end)}`)));
    }
  });
  for (const share of [0, 0.5, 1]) {
    const y = top + height * (1 - share);
    canvas.append(drawn("line", { x1: left, x2: width - 10, y1: y, y2: y }), drawn("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, `${100 * share} %`));
  }
  for (const [label, curve] of Object.entries(timeline.curves)) {
    // As long as the stretches above, which begin before the middle of the first view and end after that of the last.
    const times = [0, ...timeline.times, duration], shares = [curve[0], ...curve, curve.at(-1)];
    const points = shares.map((share, index) => `${x(times[index]).toFixed(1)},${(top + height * (1 - share)).toFixed(1)}`);
    canvas.append(drawn("polyline", { points: points.join(" "), fill: "none", stroke: colours[label], "stroke-width": 2.5, "stroke-linejoin": "round" }));
  }
  for (let step = 0; step <= steps; step++) {
    const moment = duration * step / steps, anchor = step === steps ? "end" : "middle";
    canvas.append(drawn("text", { x: x(moment), y: top + height + 20, "text-anchor": anchor }, clock(moment)));
  }
  at("timeline").replaceChildren(canvas);
  at("legend").replaceChildren(...Object.entries(colours).slice(0, PALETTE.length).map(([label, colour]) =>
    element("li", {}, drawn("svg", { viewBox: "0 0 12 12" }, drawn("rect", { width: 12, height: 12, rx: 3, fill: colour })), label)));
}

at("file").addEventListener("change", (event) => {
  if (event.target.files.length) send(event.target.files[0]);
  event.target.value = "";
});
at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.token = at("secret").value.trim();
  at("secret").value = "";
  showModel();
});
showModel();
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
}
