"""Attacks in Python: what is tried, and how it must end."""

# ruff: noqa: E501 - one attack a line: a table
from __future__ import annotations

from tests.functions.code_sandbox.attack import Attack, python

LOOPS = [
    python("endless loop", "while True: pass", "wall"),
    python("endless loop that catches everything", "while True:\n try:\n  while True: pass\n except BaseException: pass", "wall"),
    python("a power in C", "pow(7, 10**9)", "wall"),
    python("a sum in C", "import itertools; sum(itertools.repeat(1))", "wall"),
    python("a search in C", "import itertools; 'x' in itertools.cycle('y')", "wall"),
    python("catastrophic regular expression", "import re; re.match('(a+)+$', 'a' * 60 + 'b')", "wall"),
    python("huge sort", "sorted(range(10**7), key=lambda x: -x)", "wall", "memory"),
    python("a number's digits", "import sys; sys.set_int_max_str_digits(0); str(10 ** 10**7)", "wall", "memory"),
    python("key stretching in C", "import hashlib; hashlib.scrypt(b'a', salt=b'b', n=2**20, r=8, p=1)", "wall", "memory", "AttributeError"),
    python("sleep", "import time; time.sleep(10**6)", "wall"),
    python("sleep in pieces", "import time\nwhile True: time.sleep(0.01)", "wall"),
    python("select without end", "import select; select.select([], [], [], 10**6)", "wall", "ValueError", "OSError"),
    python("a text of its error that never comes", "class E(Exception):\n def __str__(self):\n  while True: pass\nraise E", "wall"),
    python("an iterator that never ends in the result", "class L(list):\n def __iter__(self):\n  while True: yield 1\nresult = L([1])", "wall", "memory", "completed"),
    python("loop at exit", "import atexit\n@atexit.register\ndef f():\n while True: pass", "wall"),
    python("loop in a finaliser", "class X:\n def __del__(self):\n  while True: pass\nX()", "wall"),
    python("waiting for input", "input()", "EOFError"),
    python("an alarm to itself", "import signal; signal.alarm(1)\nwhile True: pass", "AttributeError", "wall"),
    python("threads", "import threading; threading.Thread(target=print).start()", "RuntimeError"),
    python("a compiler's loop", "exec('x = ' + '+'.join(['1'] * 10**6))", "wall", "memory", "recursion", "completed"),
]  # fmt: skip

MEMORY = [
    python("a huge text", "x = 'a' * 10**10", "memory", "OverflowError"),
    python("a huge text that would just be possible", "x = 'a' * (2**31 - 1000)", "memory"),
    python("many blocks", "x = []\nwhile True: x.append(bytearray(10**6))", "memory"),
    python("many small things", "x = []\nwhile True: x.append([x])", "memory", "wall"),
    python("a dictionary that grows", "x = {}\nwhile True: x[len(x)] = 'a' * 10000", "memory"),
    python("doubling", "x = b'a'\nwhile True: x += x", "memory", "OverflowError"),
    python("a wide format", "x = '%*d' % (2**31 - 1, 1)", "memory", "OverflowError"),
    python("a shifted number", "x = 1 << 10**11", "memory", "OverflowError"),
    python("a huge range as a list", "list(range(10**10))", "memory", "OverflowError", "wall"),
    python("memory again and again, caught", "while True:\n try: x = 'a' * (2**31 - 1000)\n except MemoryError: pass", "wall"),
    python("constant folding", "x = 'a' * 10**8 * 10", "memory"),
    python("a decompressed bomb", "import zlib; x = [zlib.decompress(zlib.compress(bytes(10**7))) for _ in range(1000)]", "memory", "wall", "ModuleNotFoundError"),
    python("memory in 32 MB", "x = bytearray(30 * 2**20)", "memory", limits={"memory_mb": 32}),
    python("deep pickle", "import pickle\nx = []\nfor _ in range(10**5): x = [x]\npickle.dumps(x)", "recursion", "wall"),
]  # fmt: skip

RECURSION = [
    python("a function in itself", "def f(): f()\nf()", "recursion"),
    python("a function in itself, without the language's bound", "import sys; sys.setrecursionlimit(2**31 - 1)\ndef f(): f()\nf()", "memory", "wall", "recursion"),
    python("C calls in themselves, without the language's bound", "import sys; sys.setrecursionlimit(2**31 - 1)\nclass A:\n def __repr__(self): return repr(self)\nrepr(A())", "recursion", "memory", "wall"),
    python("attributes in themselves", "import sys; sys.setrecursionlimit(2**31 - 1)\nclass A:\n def __getattr__(self, n): return getattr(self, n + 'a')\nA().x", "recursion", "memory", "wall"),
    python("a comparison in itself", "import sys; sys.setrecursionlimit(2**31 - 1)\na = []; a.append(a); b = []; b.append(b)\na == b", "recursion", "memory", "wall"),
    python("nested source", "eval('(' * 10**5 + ')' * 10**5)", "memory", "SyntaxError", "recursion"),
    python("nested signs in the source", "eval('-' * 10**5 + '1')", "memory", "SyntaxError", "recursion"),
    python("a nested regular expression", "import re; re.compile('(' * 5000 + ')' * 5000)", "recursion", "wall"),
    python("a deep copy", "import copy\nx = []\nfor _ in range(10**4): x = [x]\ncopy.deepcopy(x)", "recursion"),
    python("a deep value, released", "x = []\nfor _ in range(10**6): x = [x]\nx = 1", "completed", "wall"),
    python("a nested JSON text", "import json; json.loads('[' * 10**5)", "recursion"),
    python("mutual recursion, caught", "def f():\n try: f()\n except RecursionError: f()\nf()", "wall", "recursion"),
]  # fmt: skip

OUTPUT = [
    python("printing without end", "while True: print('x' * 100)", "output"),
    python("one huge line", "print('x' * 10**7)", "output"),
    python("errors without end", "import sys\nwhile True: sys.stderr.write('x' * 1000)", "output"),
    python("bytes without end", "import os\nwhile True: os.write(1, b'\\xff\\x00' * 1000)", "output"),
    python("a long message of an error", "raise Exception('x' * 10**7)", "output"),
    python("warnings", "import warnings\nwarnings.simplefilter('always')\nwhile True: warnings.warn('x' * 100)", "output"),
    python("closing the output", "import sys; sys.stdout.close(); sys.stderr.close(); result = 1", "completed", result=1),
    python("printing after closing", "import os; os.close(1); print('x'); result = 1", "completed", "OSError", result=1),
    python("closing every descriptor", "import os\nfor n in range(256):\n try: os.close(n)\n except OSError: pass\nresult = 2", "completed", "Exit", result=2),
    python("removing the output", "import sys; del sys.stdout, sys.stderr, sys.__stdout__; result = 1", "completed", "Exit", "AttributeError", "failed", result=1),
    python("control characters and halves of pairs", "print('\\x00\\x1b[2J\\ud800')", "completed"),
    python("frames of our own protocol", "import os; os.write(1, b'D\\x02\\x00\\x00\\x00{}' * 10)", "completed"),
]  # fmt: skip

FILES = [
    python("a huge file", "open('x', 'wb').write(bytes(10**8))", "files"),
    python("a file that grows", "f = open('x', 'ab', 0)\nwhile True: f.write(b'x' * 10000)", "files"),
    python("a sparse file", "f = open('x', 'wb'); f.seek(2**60); f.write(b'x')", "files"),
    python("a file made long", "open('x', 'wb').truncate(2**60)", "files"),
    python("many files", "for n in range(10**6): open(str(n), 'w').close()", "files"),
    python("many folders", "import os\nfor n in range(10**6): os.mkdir(str(n))", "files"),
    python("folders in folders", "import os\nfor n in range(10**4): os.mkdir('d'); os.chdir('d')", "OSError"),
    python("many descriptors", "x = [open('x', 'w') for _ in range(10**4)]", "OSError"),
    python("made and deleted for ever", "import os\nwhile True: open('x', 'wb').write(bytes(10**6)); os.remove('x')", "wall"),
    python("written after it was deleted", "import os\nf = open('x', 'wb', 0); os.remove('x')\nwhile True: f.write(bytes(10**5))", "files"),
    python("a folder moved into itself", "import os; os.mkdir('a'); os.mkdir('a/b'); os.rename('a', 'a/b/c')", "OSError"),
    python("a symbolic link out", "import os; os.symlink('/etc/passwd', 'x'); print(open('x').read())", "OSError"),
    python("a hard link out", "import os; os.link('/etc/passwd', 'x'); print(open('x').read())", "FileNotFoundError"),
    python("a name of another encoding", "open(b'\\xff\\xfe', 'w')", "OSError"),
    python("a name with a zero", "open('a\\x00b', 'w')", "ValueError"),
    python("a long name", "open('x' * 5000, 'w')", "OSError"),
    python("half of a pair as a name", "open('\\ud800', 'w')", "UnicodeEncodeError"),
]  # fmt: skip

HOST = [
    python("the secret file by its path", "print(open('{FILE}').read())", "FileNotFoundError"),
    python("the secret file by climbing", "print(open('../' * 20 + '{FILE}'.lstrip('/')).read())", "PermissionError"),
    python("climbing through the folder", "import os; os.mkdir('a'); print(open('/files/a/../../{FILE}').read())", "PermissionError"),
    python("the list of users", "print(open('/etc/passwd').read())", "FileNotFoundError"),
    python("our environment in /proc", "print(open('/proc/self/environ').read())", "FileNotFoundError"),
    python("the parent's environment in /proc", "import glob; print([open(p).read() for p in glob.glob('/proc/*/environ')])", "completed"),
    python("our memory in /proc", "open('/proc/self/mem', 'rb').read(10)", "FileNotFoundError"),
    python("devices", "open('/dev/mem', 'rb').read(10)", "FileNotFoundError"),
    python("the root", "import os; print(os.listdir('/'))", "FileNotFoundError"),
    python("everything there is", "import os\nfor top in ('/', '..', '../..', '/files', '/home', '/root', '/tmp', '/var', '/sys'):\n for _, _, names in os.walk(top): result = names\nresult = names if 'names' in globals() else None", "completed", result=[]),
    python("a way out by chdir", "import os; os.chdir('/'); os.chdir('..'); print(open('etc/passwd').read())", "FileNotFoundError"),
    python("descriptors that were left open", "import os\nfor n in range(5, 1024):\n try: os.read(n, 1); result = n\n except OSError: pass", "completed", result=None),
    python("files by number", "import os\nfor n in range(3, 64):\n try: os.write(n, b'x'); result = n\n except OSError: pass", "completed", result=None),
    python("the environment", "import os; result = dict(os.environ)", "completed", result={}),
    python("our secret variable", "import os; result = os.getenv('MILLRACE_CANARY')", "completed", result=None),
    python("the command line", "import sys; result = sys.argv", "completed", result=["code.py"]),
    python("who we are", "import os; result = [os.getcwd(), os.uname().nodename]", "completed", "AttributeError", result=["/files", "(none)"]),
    python("users", "import pwd; result = pwd.getpwall()", "ModuleNotFoundError"),
]  # fmt: skip

PROCESSES = [
    python("fork", "import os; os.fork()", "AttributeError"),
    python("fork bomb", "import os\nwhile True: os.fork()", "AttributeError"),
    python("a command", "import os; os.system('id')", "AttributeError"),
    python("a process", "import subprocess; subprocess.run(['id'])", "OSError"),
    python("another program in our place", "import os; os.execv('/bin/sh', ['sh'])", "AttributeError"),
    python("a pool of processes", "import multiprocessing; multiprocessing.Pool(4)", "ModuleNotFoundError"),
    python("killing the parent", "import os; os.kill(os.getppid(), 9)", "AttributeError"),
    python("killing everything", "import os; os.kill(-1, 9)", "AttributeError"),
    python("a signal to itself", "import signal; signal.raise_signal(9)", "Crashed"),
    python("abort", "import os; os.abort()", "Crashed"),
    python("leaving without a word", "import os; os._exit(0)", "Exit"),
    python("leaving with a code", "import sys; sys.exit(3)", "Exit"),
    python("leaving with a text", "raise SystemExit('bye')", "Exit"),
    python("an interrupt", "raise KeyboardInterrupt", "KeyboardInterrupt"),
]  # fmt: skip

NETWORK = [
    python("a socket", "import socket; socket.socket()", "OSError"),
    python("a connection", "import socket; socket.create_connection(('127.0.0.1', {PORT}), 1)", "AttributeError"),
    python("a request", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/')", "AttributeError"),
    python("a metadata service", "import http.client; c = http.client.HTTPConnection('169.254.169.254', timeout=1); c.request('GET', '/')", "AttributeError"),
    python("an inherited socket", "import socket\nfor n in range(64):\n try: socket.socket(fileno=n).send(b'x'); result = n\n except OSError: pass", "completed", result=None),
    python("listening", "import socket; socket.create_server(('127.0.0.1', 0))", "OSError"),
    python("a name of the net", "import socket; socket.getaddrinfo('example.com', 80)", "AttributeError"),
    python("an event loop", "import asyncio\nasync def f(): await asyncio.open_connection('127.0.0.1', {PORT})\nasyncio.run(f())", "OSError"),
]  # fmt: skip

ESCAPES = [
    python("ctypes", "import ctypes; ctypes.string_at(0)", "ModuleNotFoundError"),
    python("the C side of ctypes", "import _ctypes", "ModuleNotFoundError"),
    python("a library of the host", "import importlib.machinery as m, importlib.util as u\nl = m.ExtensionFileLoader('x', '/usr/lib/libc.so.6')\nu.module_from_spec(u.spec_from_loader('x', l))", "AttributeError"),
    python("subclasses of object", "for c in object.__subclasses__():\n if c.__name__ in ('Popen', '_wrap_close'): result = c.__name__", "completed"),
    python("the frames above", "import sys\nf = sys._getframe()\nwhile f.f_back: f = f.f_back\nresult = sorted(k for k in f.f_globals if 'wasmtime' in k or 'functions' in k)", "completed", result=[]),
    python("all objects", "import gc; result = [o for o in gc.get_objects() if 'CANARY' in str(type(o))]", "completed", result=[]),
    python("our modules", "import functions.code_sandbox.sandbox", "ModuleNotFoundError"),
    python("packages of the host", "import wasmtime", "ModuleNotFoundError"),
    python("broken bytecode", "def f(): pass\nf.__code__ = f.__code__.replace(co_code=bytes(range(256)))\nf()", "Crashed", "wall", "failed", "completed", "memory"),
    python("a stack that is too small", "def f(a): return a\nf.__code__ = f.__code__.replace(co_stacksize=0, co_nlocals=1, co_code=b'|\\xff' * 200)\nf(1)", "Crashed", "failed", "ValueError", "memory"),
    python("a wild pointer", "import faulthandler; faulthandler._sigsegv()", "Crashed"),
    python("the driver's own functions", "import sys, json\njson.dumps = None\nsys.setrecursionlimit = None\nresult = 1", "completed", "TypeError", "failed", "Exit", "result", result=1),
    python("without builtins", "__builtins__.__dict__.clear()", "Exit"),
    python("without modules", "import sys; sys.modules.clear(); import os", "Exit", "failed", "completed", "Crashed"),
    python("tracing the driver", "import sys\nsys.setprofile(lambda *a: 1 / 0)", "ZeroDivisionError"),
    python("a replaced import", "import builtins; builtins.__import__ = lambda *a: 1 / 0\nimport os", "ZeroDivisionError"),
    python("a codec as code", "# -*- coding: unicode_escape -*-\nresult = 1", "completed", "SyntaxError", result=1),
    python("pickled code", "import pickle; pickle.loads(b'cos\\nsystem\\n(S\"id\"\\ntR.')", "AttributeError"),
    python("a zero in the source", "x = 1\x00", "SyntaxError"),
]  # fmt: skip

RESULTS = [
    python("not a number", "result = float('nan')", "result"),
    python("infinity", "result = {'a': [float('-inf')]}", "result"),
    python("bytes", "result = b'x'", "result"),
    python("a set", "result = {1, 2}", "result"),
    python("a cycle", "result = []; result.append(result)", "result", "recursion"),
    python("a huge number", "result = 10 ** 10000", "result"),
    python("an object", "result = object()", "result"),
    python("a key that is no text", "result = {(1, 2): 3}", "result"),
    python("half of a pair", "result = '\\ud800'", "result"),
    python("a zero", "result = {'a\\x00': 1}", "result"),
    python("a hundred levels", "result = []\nfor _ in range(100): result = [result]", "result"),
    python("a million levels", "result = []\nfor _ in range(10**6): result = [result]", "result", "recursion", "wall"),
    python("too large", "result = 'x' * 2 * 10**6", "result"),
    python("far too large", "result = 'x' * 2 * 10**7", "result", "memory"),
    python("a number that lies about its text", "class I(int):\n def __repr__(self): return '], \"forged\": ['\nresult = I(3)", "completed", result=3),
    python("a forged report", "open('.report', 'wb').write(b'R{\"forged\": true}'); import os; os._exit(0)", "completed", result={"forged": True}),
    python("two reports", "open('.report', 'wb').write(b'R1'); result = 2", "result"),
    python("a report that makes no sense", "open('.report', 'wb').write(b'E[]'); import os; os._exit(0)", "Error"),
    python("a report without end", "f = open('.report', 'wb', 0)\nwhile True: f.write(b'R' * 10000)", "result"),
    python("a report of a bound", "open('.report', 'wb').write(b'E{\"type\":\"MemoryError\",\"message\":\"\\\\u0000\"}'); import os; os._exit(0)", "memory"),
    python("an error with a broken text", "class E(Exception):\n def __str__(self): raise ValueError\nraise E", "E"),
    python("an error with a name of half a pair", "raise type('\\ud800', (Exception,), {})('\\ud800\\x00')", "failed", "UnicodeEncodeError", "\ufffd"),
    python("more code than allowed", "#" * 300_000, "code_size"),
    python("more input than allowed", "result = 1", "input_size", input_data="x" * 3_000_000),
]  # fmt: skip

PYTHON: list[Attack] = [
    *LOOPS, *MEMORY, *RECURSION, *OUTPUT, *FILES, *HOST, *PROCESSES, *NETWORK, *ESCAPES, *RESULTS,
]  # fmt: skip
