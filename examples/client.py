"""Use a cluster from a program: python examples/client.py HOST:PORT,..."""

import sys

from raftnode.client import Client, OutcomeUnknown

with Client(sys.argv[1]) as client:
    client.put("greeting", "hello")
    item = client.get("greeting")
    print(item.value if item else "nothing")
    try:
        print(client.incr("visits"))
    except OutcomeUnknown:
        print("the increment may have happened: read it before trying again")
