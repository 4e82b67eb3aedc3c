"""New connections to 127.0.0.1:PORT, one after another on each of six threads, until standard input ends: GET PATH with a token.
Prints how many were answered 200, and what became of the others. Runs inside a machine (peers.machine), with its Python."""

import collections
import http.client
import sys
import threading

port, path, token = int(sys.argv[1]), sys.argv[2], sys.argv[3]
ended = threading.Event()
seen = collections.Counter()


def ask():
    while not ended.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Connection": "close"})
            response = connection.getresponse()
            response.read()
            seen[response.status] += 1
        except OSError as error:
            seen[repr(error)] += 1
        except http.client.HTTPException as error:
            seen[repr(error)] += 1
        finally:
            connection.close()


threads = [threading.Thread(target=ask) for _ in range(6)]
for thread in threads:
    thread.start()
print("started", flush=True)
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
print(dict(seen))
