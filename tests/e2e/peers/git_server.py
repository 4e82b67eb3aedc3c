"""A real git server: git-http-backend behind nginx and fcgiwrap, with a repository octo/hello.git."""

import os
import signal
import socket
import subprocess

from .keystile import clean_environment, wait_for
from .nginx import Nginx

LOCATION = """
		location / {{
			if ($http_authorization != "{authorization}") {{ return 401; }}
			include /etc/nginx/fastcgi_params;
			fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
			fastcgi_param GIT_HTTP_EXPORT_ALL "";
			fastcgi_param GIT_PROJECT_ROOT {root};
			fastcgi_param PATH_INFO $uri;
			fastcgi_param REMOTE_USER agent;
			fastcgi_pass unix:{socket};
		}}
"""
AUTHOR = {"GIT_AUTHOR_NAME": "b", "GIT_AUTHOR_EMAIL": "b@test", "GIT_COMMITTER_NAME": "b", "GIT_COMMITTER_EMAIL": "b@test",
          "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}


def accepts(path):
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


class GitServer:
    """It wants `authorization`; `where` is where nginx listens (peers.nginx). The repository has one commit and a large file;
    `bare` is its folder."""

    def __init__(self, folder, authorization, **where):
        root, work, backend = folder / "git", folder / "work", folder / "fcgi.sock"
        self.bare = root / "octo/hello.git"
        env = clean_environment(**{**AUTHOR, "HOME": str(folder)})
        self.git(env, "init", "-q", "-b", "main", work)
        (work / "README").write_text("hello\n")
        (work / "large").write_bytes(os.urandom(3 << 20))
        self.git(env, "-C", work, "add", ".")
        self.git(env, "-C", work, "commit", "-qm", "first")
        self.git(env, "clone", "-q", "--bare", work, self.bare)
        self.backend = subprocess.Popen(
            ["fcgiwrap", "-c", "2", "-s", f"unix:{backend}"], stdin=subprocess.DEVNULL, env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        wait_for(lambda: accepts(backend), "fcgiwrap to listen")
        self.nginx = Nginx(folder / "git-nginx", LOCATION.format(root=root, socket=backend, authorization=authorization), **where)

    @staticmethod
    def git(env, *arguments):
        subprocess.run(["git", *map(str, arguments)], env=env, check=True, capture_output=True)

    def log(self):
        """The subjects of its commits, the last one first."""
        done = subprocess.run(["git", "-C", self.bare, "log", "--format=%s"], check=True, capture_output=True, text=True,
                              env=clean_environment(**AUTHOR))
        return done.stdout.split()

    def close(self):
        self.nginx.close()
        os.killpg(self.backend.pid, signal.SIGTERM)  # its children too: they would outlive it
        self.backend.wait()
