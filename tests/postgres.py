"""A PostgreSQL of Debian's package, started for tests in a folder of its own and reached by a socket in it.

A server does not run as root: where tests do, it runs as the user `postgres`, else as `nobody`.

    with running_postgres() as url: psycopg.connect(url)
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.processes import running

START_S = 60.0
USER = "chipalign"
# Faster, and nothing that a test could see: no machine loses its power here
HASTY = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "listen_addresses=")


class NoPostgres(Exception):
    """There is no PostgreSQL to start; the message says why."""


def find_binary(name: str) -> str:
    """A program of the newest PostgreSQL that is installed. Raises NoPostgres."""
    if found := shutil.which(name):
        return found
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    if not versions:
        raise NoPostgres(f"{name} is not installed (Debian: apt-get install postgresql)")
    return str(versions[-1])


def unprivileged() -> str | None:
    """The user that a server runs as: None for whoever runs the tests. Raises NoPostgres."""
    if os.geteuid():
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in users:
            return name
    raise NoPostgres("tests run as root, and there is no user postgres or nobody to run a server as")


@contextmanager
def running_postgres() -> Iterator[str]:
    """A server's URL; the server has ended when the block is left. Raises NoPostgres."""
    initdb, postgres, user = find_binary("initdb"), find_binary("postgres"), unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path has at most 107 characters
    try:
        if user:
            shutil.chown(folder, user)
        data = str(folder / "data")
        call([initdb, "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"], user)
        options = [part for option in HASTY for part in ("-c", option)]
        command = [postgres, "-D", data, "-k", str(folder), *options]
        with running(subprocess.Popen(command, user=user, cwd=folder, stdout=-3, stderr=-3)) as server:
            url = f"postgresql://{USER}@/postgres?host={quote(str(folder), safe='')}"
            wait_until_ready(url, server)
            yield url
            server.terminate()
            server.wait(START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def call(command: Sequence[str], user: str | None) -> None:
    """Run a command to its end. Raises NoPostgres."""
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoPostgres(f"{command[0]}: {done.stderr.strip()[-300:]}")


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers. Raises NoPostgres."""
    import psycopg

    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise NoPostgres(f"the server does not answer within {START_S:g} s (exit code {server.poll()})")


def with_schema(url: str, name: str) -> str:
    """The URL of an empty part of the database, which is made anew."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{url}&options={quote(f'-csearch_path={name}', safe='')}"
