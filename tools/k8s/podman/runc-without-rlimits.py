#!/usr/bin/python3
# A container runtime for machines without CAP_SYS_RESOURCE: runc, with what needs that capability taken out of its orders.
# Used by tools/k8s/podman.ts only.
import json
import os
import sys


def mend(process):
    process.pop("rlimits", None)
    for names in (process.get("capabilities") or {}).values():
        if "CAP_SYS_RESOURCE" in names:
            names.remove("CAP_SYS_RESOURCE")


def rewrite(path, find):
    with open(path) as file:
        orders = json.load(file)
    mend(find(orders))
    with open(path, "w") as file:
        json.dump(orders, file)


arguments = sys.argv[1:]
for index, argument in enumerate(arguments):
    flag, _, value = argument.partition("=")
    if not value and index + 1 < len(arguments):
        value = arguments[index + 1]
    if flag in ("--bundle", "-b"):
        rewrite(os.path.join(value, "config.json"), lambda orders: orders["process"])
    elif flag in ("--process", "-p") and os.path.isfile(value):
        rewrite(value, lambda orders: orders)
os.execv("/usr/sbin/runc", ["runc", *arguments])
