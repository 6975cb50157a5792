#!/usr/bin/env python3
"""Starts a real ClickHouse for the tests, without Docker and without root.

The npm package @chdb/lib-linux-x64-gnu holds the whole engine as a shared library, whose function
chdb_query_cmdline is the program `clickhouse local`. That program opens ClickHouse's own HTTP port
on SYSTEM START LISTEN. This file fetches the pinned package once, runs the engine in a child
process with users and logs of its own, prints one line of JSON when it answers, and ends it when
standard input closes or on SIGTERM. Only the standard library and npm (for the download) are used.

    python3 server.py --engine-dir target/clickhouse
    {"url": "http://127.0.0.1:40123", "user": "canon", "password": "secret", "version": "26.7.2.1"}
"""
import argparse
import base64
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request

PACKAGE = "@chdb/lib-linux-x64-gnu"
VERSION = "26.7.3-stable.1"
SHA512 = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="
LIBRARY = "libchdb.so"

# The library starts with four defaults that a server doesn't have.
LIKE_A_SERVER = ["--allow_introspection_functions=0", "--storage_file_read_method=pread",
                 "--implicit_select=0", "--output_format_arrow_use_native_writer=1"]

# Keeps the engine's only session busy, so that its ports stay open, until its standard input ends.
UNTIL_INPUT_ENDS = ("SELECT count() FROM file('/dev/stdin', 'LineAsString') "
                    "SETTINGS max_execution_time = 0, log_queries = 0 FORMAT Null;\n")

START_SECONDS_MAX = 300


def install(engine_dir):
    """The path of the engine; downloads it first where it isn't there. Safe to run at once."""
    home = os.path.join(engine_dir, VERSION)
    library = os.path.join(home, LIBRARY)
    os.makedirs(home, exist_ok=True)
    with open(os.path.join(home, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(library):
            return library
        with tempfile.TemporaryDirectory(dir=home) as work:
            subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=work, check=True,
                           stdout=subprocess.DEVNULL)
            archive = next(os.path.join(work, name) for name in os.listdir(work) if name.endswith(".tgz"))
            with open(archive, "rb") as packed:
                found = base64.b64encode(hashlib.sha512(packed.read()).digest()).decode()
            if found != SHA512:
                sys.exit(f"server.py: {PACKAGE} {VERSION} has the checksum {found}, expected {SHA512}")
            with tarfile.open(archive) as tar, open(os.path.join(work, LIBRARY), "wb") as out:
                shutil.copyfileobj(tar.extractfile(f"package/{LIBRARY}"), out)
            os.rename(os.path.join(work, LIBRARY), library)  # whole or not at all
    return library


def run_engine(library, arguments):
    """The engine's main program, in this process. Never returns."""
    death_signal = 1  # PR_SET_PDEATHSIG: nobody else would end it if the launcher were killed
    ctypes.CDLL("libc.so.6").prctl(death_signal, signal.SIGKILL)
    engine = ctypes.CDLL(library, mode=os.RTLD_NOW | os.RTLD_DEEPBIND)
    engine.chdb_query_cmdline.restype = ctypes.c_void_p
    engine.chdb_result_error.restype = ctypes.c_char_p
    engine.chdb_result_error.argtypes = [ctypes.c_void_p]
    argv = [b"clickhouse"] + [argument.encode() for argument in arguments]
    result = engine.chdb_query_cmdline(len(argv), (ctypes.c_char_p * len(argv))(*argv))
    error = engine.chdb_result_error(result) if result else b"no result"
    if error:
        sys.stderr.write(error.decode("utf-8", "replace") + "\n")
        sys.stderr.flush()
    os._exit(1 if error else 0)  # the engine's threads don't survive an ordinary exit


def write_configuration(home, user, password):
    """The files that the engine starts from; the path of the configuration."""
    def account(name, word):
        return (f"<{name}><password>{word}</password><networks><ip>127.0.0.1</ip></networks>"
                "<profile>default</profile><quota>default</quota></{0}>".format(name))
    users = os.path.join(home, "users.xml")
    with open(users, "w") as out:
        # The engine's first session logs in as `default`, without a password.
        out.write("<clickhouse><profiles><default></default><reader><readonly>2</readonly></reader></profiles>"
                  "<quotas><default></default></quotas><users>" + account("default", "") + account(user, password)
                  + f"<{user}_reader><password>{password}</password><networks><ip>127.0.0.1</ip></networks>"
                    f"<profile>reader</profile><quota>default</quota></{user}_reader>"
                  + "</users></clickhouse>\n")
    configuration = os.path.join(home, "config.xml")
    with open(configuration, "w") as out:
        out.write(f"<clickhouse><users_config>{users}</users_config><logger><level>warning</level></logger>"
                  "<query_log><database>system</database><table>query_log</table>"
                  "<flush_interval_milliseconds>200</flush_interval_milliseconds></query_log></clickhouse>\n")
    return configuration


def answers(url):
    try:
        with urllib.request.urlopen(url + "/ping", timeout=2) as response:
            return response.status == 200
    except (OSError, urllib.error.URLError):
        return False


def version_of(url, user, password):
    headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
    request = urllib.request.Request(url, data=b"SELECT version()", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode().strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(library, port, user, password):
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: stop.set())

    def watch_input():
        while os.read(0, 65536):
            pass
        stop.set()
    threading.Thread(target=watch_input, daemon=True).start()

    home = tempfile.mkdtemp(prefix="canon-clickhouse-")
    url = f"http://127.0.0.1:{port}"
    script = os.path.join(home, "start.sql")
    with open(script, "w") as out:
        out.write("SYSTEM START LISTEN HTTP;\n" + UNTIL_INPUT_ENDS)
    arguments = ["--config-file", write_configuration(home, user, password), "--path", os.path.join(home, "data"),
                 "--listen_host", "127.0.0.1", "--http_port", str(port), "--queries-file", script] + LIKE_A_SERVER
    engine = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--engine", library] + arguments,
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        started = time.monotonic()
        while not answers(url):
            if engine.poll() is not None:
                sys.exit(f"server.py: the engine ended with status {engine.returncode} before it answered")
            if time.monotonic() - started > START_SECONDS_MAX:
                sys.exit(f"server.py: the engine didn't answer within {START_SECONDS_MAX} s")
            if stop.wait(0.05):
                return 0
        print(json.dumps({"url": url, "user": user, "password": password,
                          "version": version_of(url, user, password)}), flush=True)
        while not stop.wait(0.2):
            if engine.poll() is not None:
                sys.exit(f"server.py: the engine ended by itself with status {engine.returncode}")
        return 0
    finally:
        if engine.poll() is None:
            engine.stdin.close()
            try:
                engine.wait(20)
            except subprocess.TimeoutExpired:
                engine.kill()
                engine.wait()
        shutil.rmtree(home, ignore_errors=True)


def main():
    if sys.argv[1:2] == ["--engine"]:
        run_engine(sys.argv[2], sys.argv[3:])
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--engine-dir", required=True, help="where the engine is kept (600 MB)")
    options.add_argument("--port", type=int, default=0, help="0: a free one")
    options.add_argument("--user", default="canon")
    options.add_argument("--password", default="secret")
    options.add_argument("--install-only", action="store_true", help="fetch the engine, print its path")
    given = options.parse_args()
    library = install(os.path.abspath(given.engine_dir))
    if given.install_only:
        print(library)
        return 0
    return serve(library, given.port or free_port(), given.user, given.password)


if __name__ == "__main__":
    sys.exit(main())
