// What the sandbox's JavaScript has beside the language: console, timers, files, env. Evaluated once, before there is a
// run; its value is the list of functions that the host calls. What it uses of the language is taken here, so that a
// program that changes, say, JSON.stringify, spoils no more than its own result.
(function (host) {
  "use strict";
  const { stringify, parse } = JSON;
  const { fromCharCode } = String;
  const { isFinite } = Number;
  const evaluate = eval;
  const bind = (method) => Function.prototype.call.bind(method);
  const join = bind(Array.prototype.join), push = bind(Array.prototype.push), charCode = bind(String.prototype.charCodeAt);
  const match = bind(RegExp.prototype.exec);
  const timers = [];
  let lastTimer = 0;

  // --- showing values

  function show(value, inside) {
    if (typeof value === "string") return inside ? stringify(value) : value;
    if (typeof value === "bigint") return String(value) + "n";
    if (typeof value === "function") return "[function " + (value.name || "anonymous") + "]";
    if (typeof value !== "object" || value === null) return String(value);
    if (value instanceof Error) return value.name + ": " + value.message;
    const seen = [];
    try {
      const text = stringify(value, function (key, part) {
        if (typeof part === "bigint") return String(part) + "n";
        if (typeof part === "function") return "[function]";
        if (typeof part === "object" && part !== null) {
          while (seen.length && seen[seen.length - 1] !== this) seen.pop();
          for (let index = 0; index < seen.length; index++) if (seen[index] === part) return "[circular]";
          push(seen, part);
        }
        return part;
      });
      return text === undefined ? String(value) : text;
    } catch (error) {
      return "[object]";
    }
  }
  const say = (stream) => (...values) => {
    const shown = [];
    for (let index = 0; index < values.length; index++) push(shown, show(values[index], false));
    host(stream + join(shown, " ") + "\n");
  };
  const out = say("o"), err = say("e");
  globalThis.console = { log: out, info: out, debug: out, dir: out, warn: err, error: err, trace: err };
  globalThis.print = out;

  // --- timers: they sleep on the host, and only when nothing else is to be done

  function later(callback, delay, repeat, values) {
    if (typeof callback !== "function") throw new TypeError("a timer needs a function");
    delay = +delay;
    const timer = { id: ++lastTimer, at: +host("n") + (delay > 0 ? delay : 0), callback, values, repeat: repeat && (delay > 1 ? delay : 1) };
    push(timers, timer);
    return timer.id;
  }
  function forget(id) {
    for (let index = 0; index < timers.length; index++) if (timers[index].id === id) return void timers.splice(index, 1);
  }
  globalThis.setTimeout = (callback, delay, ...values) => later(callback, delay, false, values);
  globalThis.setInterval = (callback, delay, ...values) => later(callback, delay, true, values);
  globalThis.clearTimeout = globalThis.clearInterval = forget;

  function nextTimer() {
    if (!timers.length) return "none";
    let first = 0;
    for (let index = 1; index < timers.length; index++) if (timers[index].at < timers[first].at) first = index;
    const timer = timers[first];
    const wait = timer.at - +host("n");
    if (wait > 0) host("s" + wait);
    if (timer.repeat) timer.at += timer.repeat; else forget(timer.id);
    timer.callback(...timer.values);
    return "ran";
  }

  // --- files: text is UTF-8, bytes are a Uint8Array

  function latin(bytes) {
    const parts = [];
    for (let index = 0; index < bytes.length; index++) push(parts, fromCharCode(bytes[index]));
    return join(parts, "");
  }
  function asked(answer) {
    if (answer[0] === "!") throw new Error(answer.slice(1));
    return answer.slice(1);
  }
  globalThis.files = Object.freeze({
    read: (path) => asked(host("r" + path)),
    readBytes: (path) => {
      const text = asked(host("R" + path));
      const bytes = new Uint8Array(text.length);
      for (let index = 0; index < bytes.length; index++) bytes[index] = charCode(text, index);
      return bytes;
    },
    write: (path, content) => {
      const binary = content instanceof Uint8Array;
      asked(host((binary ? "W" : "w") + path + "\0" + (binary ? latin(content) : content)));
    },
    remove: (path) => void asked(host("d" + path)),
    list: () => parse(asked(host("l"))),
  });

  // --- what the host calls

  function begin(given) {
    const { input, variables, seed } = parse(given);
    let [a, b, c, d] = seed; // sfc32: the engine's own generator was seeded before there was a run
    globalThis.Math.random = () => {
      const t = (((a + b) | 0) + d) | 0;
      d = (d + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + t | 0;
      return (t >>> 0) / 4294967296;
    };
    globalThis.input_data = input;
    globalThis.env = variables;
    globalThis.result = null;
    return "";
  }
  function finish() {
    let value;
    try {
      value = evaluate("typeof result === 'undefined' ? null : result");
      const text = stringify(value, (key, part) => {
        if (typeof part === "number" && !isFinite(part)) throw new TypeError(String(part) + " is no JSON number");
        return part;
      });
      if (text === undefined) throw new TypeError("a " + typeof value + " is no JSON");
      return "R" + text;
    } catch (error) {
      return describe(error, "NotJson");
    }
  }
  function describe(error, kind) {
    let type = "Error", message = "", stack = "", line = null;
    try {
      if (error instanceof Error || (typeof error === "object" && error !== null && "message" in error)) {
        type = String(error.name || "Error");
        message = String(error.message);
        stack = String(error.stack || "");
      } else {
        message = show(error, false);
      }
    } catch (worse) {
      message = "its text cannot be made";
    }
    const found = match(/code\.js:(\d+)/, stack);
    if (found) line = +found[1];
    if (kind && type !== "InternalError") type = kind;
    else host("e" + type + ": " + message + "\n" + stack + "\n");
    return "E" + stringify({ type: type.slice(0, 200), message: message.slice(0, 4000), line });
  }
  return [begin, nextTimer, finish, describe];
});
