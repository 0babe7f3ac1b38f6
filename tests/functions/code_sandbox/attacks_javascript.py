"""Attacks in JavaScript: what is tried, and how it must end."""

# ruff: noqa: E501 - one attack a line: a table
from __future__ import annotations

from tests.functions.code_sandbox.attack import Attack, javascript

LOOPS = [
    javascript("endless loop", "for (;;);", "wall"),
    javascript("endless loop that catches everything", "for (;;) { try { for (;;); } catch {} }", "wall"),
    javascript("catastrophic regular expression", "/(a+)+$/.test('a'.repeat(60) + 'b')", "wall"),
    javascript("a comparison that never agrees", "Array.from({length: 1e6}, (_, i) => i).sort(() => { for (;;); })", "wall", "memory"),
    javascript("a huge power", "2n ** 100000000n", "wall", "memory", "RangeError"),
    javascript("a generator without end", "function* g() { for (;;) yield 1; } for (const x of g());", "wall"),
    javascript("promises without end", "const f = () => Promise.resolve().then(f); f();", "wall"),
    javascript("a timer without end", "setInterval(() => {}, 0)", "wall"),
    javascript("a far timer", "await new Promise((done) => setTimeout(done, 1e12))", "wall"),
    javascript("awaiting nothing", "await new Promise(() => {})", "Deadlock"),
    javascript("waiting for another thread", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", "TypeError", "ReferenceError", "wall"),
    javascript("a result that never comes", "Object.defineProperty(globalThis, 'result', {get() { for (;;); }})", "wall"),
    javascript("a message that never comes", "throw {get message() { for (;;); }}", "wall"),
    javascript("a text that never comes", "throw {toString() { for (;;); }}", "wall", "failed"),
    javascript("toJSON that never ends", "result = {toJSON() { for (;;); }}", "wall"),
    javascript("a proxy that never answers", "result = new Proxy({}, {ownKeys() { for (;;); }})", "wall"),
    javascript("a huge join", "new Array(2 ** 32 - 1).join('x')", "wall", "memory"),
]  # fmt: skip

MEMORY = [
    javascript("a huge text", "'a'.repeat(2 ** 29)", "memory", "RangeError"),
    javascript("a huge buffer", "new ArrayBuffer(2 ** 40)", "memory", "RangeError"),
    javascript("many buffers", "const a = []; for (;;) a.push(new Uint8Array(1e6))", "memory"),
    javascript("many small things", "let a = null; for (;;) a = {a}", "memory", "wall"),
    javascript("a filled array", "new Array(1e9).fill(0)", "memory", "RangeError", "wall"),
    javascript("doubling", "let a = 'x'; for (;;) a += a", "InternalError"),
    javascript("a huge number", "let a = 3n; for (;;) a *= a", "memory", "wall", "RangeError"),
    javascript("a map that grows", "const m = new Map(); for (let i = 0;; i++) m.set(i, 'x'.repeat(1e4))", "memory", "wall"),
    javascript("memory again and again, caught", "for (;;) { try { new Uint8Array(1e9) } catch {} }", "wall"),
    javascript("promises that pile up", "for (;;) Promise.resolve().then(() => {})", "memory", "wall"),
    javascript("memory in 32 MB", "result = new Uint8Array(32 * 2 ** 20).length", "memory", limits={"memory_mb": 32}),
    javascript("a million timers", "for (;;) setTimeout(() => {}, 1e6)", "memory", "wall"),
    javascript("no room for the error", "const a = []; try { for (;;) a.push('x'.repeat(1000)) } catch (e) { for (;;) a.push([e]) }", "memory", "wall"),
]  # fmt: skip

RECURSION = [
    javascript("a function in itself", "function f() { f() } f()", "recursion"),
    javascript("a function in itself, caught", "function f() { try { f() } catch { f() } } f()", "wall", "recursion"),
    javascript("a text of a text", "const a = {toString() { return '' + this }}; '' + a", "recursion"),
    javascript("a proxy of itself", "const p = new Proxy({}, {get: (t, k, r) => r[k]}); p.x", "recursion"),
    javascript("nested JSON", "JSON.parse('['.repeat(1e6))", "recursion", "SyntaxError"),
    javascript("a nested value", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)", "recursion"),
    javascript("nested source", "eval('('.repeat(1e5) + ')'.repeat(1e5))", "recursion", "SyntaxError"),
    javascript("a nested regular expression", "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))", "recursion", "SyntaxError"),
    javascript("a deep value, released", "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; a = null; result = 1", "completed", "wall", "recursion", "memory", result=1),
    javascript("nested results", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; result = a", "recursion", "result"),
]  # fmt: skip

OUTPUT = [
    javascript("printing without end", "for (;;) console.log('x'.repeat(100))", "output"),
    javascript("one huge line", "console.log('x'.repeat(1e7))", "output"),
    javascript("errors without end", "for (;;) console.error('x'.repeat(200))", "output"),
    javascript("a long message of an error", "throw new Error('x'.repeat(1e6))", "output"),
    javascript("zeros and halves of pairs", "console.log('\\0\\ud800\\x1b[2J')", "completed"),
    javascript("an object that prints itself", "console.log({get a() { throw 1 }}, new Proxy({}, {get() { throw 1 }}))", "completed", "failed"),
    javascript("a cycle, printed", "const a = {}; a.a = a; console.log(a, [a]); result = 1", "completed", result=1),
]  # fmt: skip

FILES = [
    javascript("a huge file", "files.write('x', 'a'.repeat(1e7))", "files"),
    javascript("many files", "for (let i = 0;; i++) files.write('f' + i, '')", "files"),
    javascript("made and deleted for ever", "for (;;) { files.write('x', 'a'.repeat(1e5)); files.remove('x') }", "wall"),
    javascript("a long name", "files.write('x'.repeat(5000), '')", "Error"),
    javascript("an empty name", "files.write('', 'x')", "Error"),
    javascript("a name with a zero", "files.write('a\\0b', 'x'); result = files.list()", "completed", result=["a"]),
    javascript("half of a pair as a name", "files.write('\\ud800', 'x')", "Error"),
    javascript("a value that is no name", "files.read({toString() { return '../x' }})", "Error"),
]  # fmt: skip

HOST = [
    javascript("the secret file", "result = files.read('{FILE}')", "Error"),
    javascript("the secret file by climbing", "result = files.read('../'.repeat(20) + '{FILE}'.slice(1))", "Error"),
    javascript("the list of users", "result = files.readBytes('/etc/passwd')", "Error"),
    javascript("a module of node", "const fs = await import('fs')", "failed"),
    javascript("QuickJS's own modules", "const std = await import('std')", "failed"),
    javascript("QuickJS's own module os", "const os = await import('os')", "failed"),
    javascript("a module of the host", "await import('{FILE}')", "failed"),
    javascript("an import", "import fs from 'fs'", "SyntaxError"),
    javascript("require", "require('fs')", "ReferenceError"),
    javascript("process", "result = process.env", "ReferenceError"),
    javascript("the way around by constructors", "result = console.log.constructor('return typeof process + typeof require + typeof Deno')()", "completed", result="undefinedundefinedundefined"),
    javascript("the environment", "result = env", "completed", result={}),
    javascript("everything global", "result = Object.getOwnPropertyNames(globalThis).filter((n) => /process|require|host|std|os$/i.test(n))", "completed", result=[]),
    javascript("QuickJS's tools", "result = [typeof scriptArgs, typeof std, typeof os, typeof bjson]", "completed", result=["undefined"] * 4),
    javascript("our functions through the stack", "Error.prepareStackTrace = (e, s) => s; result = String(new Error().stack).includes('wasmtime')", "completed", result=False),
    javascript("the host's function by its callers", "result = typeof (function f() { return f.caller })()", "completed", "TypeError"),
]  # fmt: skip

NETWORK = [
    javascript("fetch", "await fetch('http://127.0.0.1:{PORT}/')", "ReferenceError"),
    javascript("a web socket", "new WebSocket('ws://127.0.0.1:{PORT}/')", "ReferenceError"),
    javascript("a request", "new XMLHttpRequest()", "ReferenceError"),
    javascript("a module from the net", "await import('http://127.0.0.1:{PORT}/x.js')", "failed"),
    javascript("a worker", "new Worker('x.js')", "ReferenceError"),
    javascript("WebAssembly", "new WebAssembly.Memory({initial: 65536})", "ReferenceError"),
]  # fmt: skip

ESCAPES = [
    javascript("a changed stringify", "JSON.stringify = () => '{\"forged\": 1}'; result = 2", "completed", result=2),
    javascript("a changed push", "Array.prototype.push = () => { throw 1 }; Array.prototype.join = () => 'x'; console.log(1); result = 2", "completed", result=2),
    javascript("a polluted prototype", "Object.prototype.toJSON = () => 'forged'; result = {a: 1}", "completed"),
    javascript("without anything global", "for (const n of Object.getOwnPropertyNames(globalThis)) { try { delete globalThis[n] } catch {} }", "completed", "failed", "result"),
    javascript("without String", "delete globalThis.String; String = null; throw new Error('x')", "failed"),
    javascript("a getter for result", "Object.defineProperty(globalThis, 'result', {get() { throw new Error('x') }})", "result"),
    javascript("a frozen world", "Object.freeze(globalThis)", "completed", "failed", "result"),
    javascript("leaving by throwing nothing", "throw undefined", "failed"),
    javascript("leaving by throwing a proxy", "throw new Proxy({}, {get() { throw 1 }, has() { throw 1 }, getPrototypeOf() { throw 1 }})", "failed"),
    javascript("a rejection that nobody sees", "Promise.reject(new Error('x'))", "Error"),
    javascript("an error in a timer", "setTimeout(() => { throw new RangeError('x') }, 1)", "RangeError"),
    javascript("a finaliser", "new FinalizationRegistry(() => { for (;;); }).register({}, 1); result = 1", "completed", "wall", result=1),
    javascript("detached memory", "const b = new ArrayBuffer(8); const u = new Uint8Array(b); if (b.transfer) b.transfer(); u[0] = 1; result = u.length", "completed"),
    javascript("an array that shrinks while it is sorted", "const a = Array.from({length: 1e4}, (_, i) => i); a.sort(() => { a.length = 0; return -1 }); result = 1", "completed", result=1),
    javascript("a regular expression that changes its text", "const r = /a/g; r.exec = function () { r.lastIndex = 2 ** 53; return null }; 'aaa'.replace(r, 'b'); result = 1", "completed", result=1),
    javascript("a view over a growing buffer", "const b = new ArrayBuffer(8, {maxByteLength: 1e6}); const v = new DataView(b); b.resize(1e6); v.setFloat64(9e5, 1); b.resize(0); try { v.getFloat64(9e5) } catch { result = 1 }", "completed", result=1),
]  # fmt: skip

RESULTS = [
    javascript("not a number", "result = NaN", "result"),
    javascript("infinity", "result = {a: [-Infinity]}", "result"),
    javascript("a big integer", "result = 1n", "result"),
    javascript("a cycle", "result = []; result.push(result)", "result"),
    javascript("a function", "result = () => 1", "result"),
    javascript("a symbol", "result = Symbol('x')", "result"),
    javascript("nothing", "result = undefined", "completed", result=None),
    javascript("half of a pair", "result = '\\ud800'", "result"),
    javascript("a zero", "result = '\\0'", "result"),
    javascript("a hundred levels", "result = []; for (let i = 0; i < 100; i++) result = [result]", "result"),
    javascript("too large", "result = 'x'.repeat(2e6)", "result"),
    javascript("far too large", "result = 'x'.repeat(2e7)", "result", "memory"),
    javascript("a word of our protocol as its text", "result = {toJSON() { return 'E{}' }}", "completed", result="E{}"),
    javascript("more code than allowed", "//" + "x" * 300_000, "code_size"),
    javascript("a zero in the source", "result = 1 \x00 + 1", "SyntaxError"),
    javascript("no language at all", "\u202e}{ \ufeff \u2028 )", "SyntaxError"),
]  # fmt: skip

JAVASCRIPT: list[Attack] = [
    *LOOPS, *MEMORY, *RECURSION, *OUTPUT, *FILES, *HOST, *NETWORK, *ESCAPES, *RESULTS,
]  # fmt: skip
