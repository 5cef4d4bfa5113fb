"""What benches/cluster.sh measured, as tables in Markdown. Standard library only.

settled NODES              exits with 0 if the ring on standard input is that of so many live nodes, and no change is open
half WORKLOAD FILE         half of the greatest throughput of a workload in a result of `dynamokv bench`
idle SECONDS PIDS ADMINS   CPU time and memory of nodes, as JSON, after so long
print WHAT FOLDER          the tables of matrix, scale, instructions or memory
write WHAT FOLDER PAGE     the same, between the marks of a page
"""

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

MARKS = "<!-- benches/cluster.sh{} -->\n", "<!-- benches/cluster.sh{} ends -->"
MODES = ["unary", "pipelined"]
DURABILITIES = ["sync", "os"]
MIXES = {"put": "put", "get": "get", "a": "50/50", "b": "95/5"}
AT = 64
# CPU milliseconds of all servers an operation, to reach at 64 in flight, by mode.
# They were set on a machine on which a bare call cost its server so much.
GOALS_ECHO = 0.028
GOALS = {"put": (0.10, 0.05), "get": (0.05, 0.02), "a": (0.075, 0.035)}
# Measured once with the same workload on two cores of the same kind: CPU ms of put, get, 50/50; put p50, p99, a second; the promise.
OTHERS = [
    ("Riak KV 3.2 (protocol buffers)", "1.45", "0.72", "1.08", "45 / 121", "1,285", "2 of 3, no fsync"),
    ("Garage 2 K2V", "0.91", "0.17", "0.65", "27 / 99", "1,950", "2 of 3, no fsync"),
    ("etcd 3.4", "0.35", "0.30", "0.40", "15 / 46", "3,830", "fsync by 2 of 3"),
    ("a prototype in Go (one process, client included)", "0.26", "0.24", "0.23", "6.3 / 37", "7,480", "all 3 answered, memory"),
    ("Dynomite + Redis, quorum", "0.082", "0.062", "0.074", "2.6 / 15", "19,400", "2 of 3, fsync each second"),
    ("Redis 7, SET + WAIT 1", "0.061", "0.012 (one node)", "0.045", "2.2 / 16", "20,900", "2 of 3, fsync each second"),
]


class Results:
    """All runs by durability, mode or pace, and workload; each figure is the median of the repetitions."""

    def __init__(self, folder):
        self.runs, self.baselines, self.failed = {}, [], []
        for path in sorted(Path(folder).glob("*.json")):
            match = re.fullmatch(r"(sync|os)-(unary|pipelined|half)(?:-\w+)?-\d+", path.stem)
            if path.stem.startswith("baseline-"):
                self.baselines.append(json.loads(path.read_text()))
            elif match:
                self.take(json.loads(path.read_text())["runs"], *match.groups())
        self.times = max((len(runs) for runs in self.runs.values()), default=0)

    def take(self, runs, durability, mode):
        for run in runs:
            workload = run["name"].split(",")[0]
            in_flight = run["plan"]["pace"].get("in_flight")
            self.runs.setdefault((durability, mode, workload, in_flight), []).append(run)
            if run["failed"] or run["unsent"]:
                self.failed.append(f"{durability}, {mode}, {run['name']}: {run['failed']} failed, {run['unsent']} unsent")

    def median(self, key, figure):
        """Of a run, or none if it was not made or has no such figure."""
        figures = [figure(run) for run in self.runs.get(key, [])]
        figures = [each for each in figures if each is not None]
        return statistics.median(figures) if figures else None

    def cpu(self, *key, of="servers"):
        return self.median(key, lambda run: run["cpu"][f"{of}_ms_per_operation"])

    def rate(self, *key):
        return self.median(key, lambda run: run["throughput"])

    def latency(self, *key, action, quantile):
        """Milliseconds."""
        def of(run):
            for each in run["actions"]:
                if each["action"] == action:
                    return each["latency"][f"{quantile}_us"] / 1_000
            return None
        return self.median(key, of)

    def baseline(self, figure):
        return statistics.median(figure(each) for each in self.baselines)


def number(value, digits=3):
    if value is None:
        return "-"
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if value < 10 else f"{value:.1f}"


def quotient(part, whole):
    return "-" if part is None or not whole else f"{part / whole:.2f}"


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows, left=1):
    rule = row(*(["---"] * left), *(["--:"] * (len(head) - left)))
    return "\n".join([row(*head), rule.replace(" ", ""), *(row(*each) for each in rows)])


def quantiles(results, key, action, names):
    times = [results.latency(*key, action=action, quantile=name) for name in names]
    return " / ".join(number(each, 2) for each in times)


# -- The tables


def beside(results):
    """Ours beside other stores, at 64 in flight."""
    head = ["CPU ms of all servers an operation", "put", "get", "50/50", "put p50 / p99, ms", "puts a second", "acknowledged when"]
    rows = []
    for mode in MODES:
        for durability in DURABILITIES:
            put = (durability, mode, "put", AT)
            cpu = [number(results.cpu(durability, mode, mix, AT)) for mix in ("put", "get", "a")]
            promise = "fsync by 2 of 3" if durability == "sync" else "2 of 3, no fsync"
            times = quantiles(results, put, "update", ["p50", "p99"])
            rows.append([f"**DynamoKV, {mode}, `{durability}`**", *cpu, times, number(results.rate(*put)), promise])
    echo = results.baseline(echo_cpu)
    times = [results.baseline(lambda each, name=name: each["echo"]["runs"][1]["actions"][0]["latency"][name]) / 1_000 for name in ("p50_us", "p99_us")]
    rate = results.baseline(lambda each: each["echo"]["runs"][1]["throughput"])
    rows.append(["*bare unary echo of 1 KiB, 3 connections*", number(echo), "", "", " / ".join(number(each, 2) for each in times), number(rate), ""])
    return table(head, rows + [list(other) for other in OTHERS])


def echo_cpu(baseline):
    """CPU ms of the server of a bare unary echo, at 64 in flight."""
    return baseline["echo"]["runs"][1]["cpu"]["servers_ms_per_operation"]


def goals(results):
    echo = results.baseline(echo_cpu)
    head = [f"at {AT} in flight", "goal", *(f"`{each}`" for each in DURABILITIES), "`sync` by `os`", "goal, in bare calls", "`sync`", "`os`"]
    rows = []
    for mix, limits in GOALS.items():
        for mode, limit in zip(MODES, limits):
            got = [results.cpu(each, mode, mix, AT) for each in DURABILITIES]
            calls = [quotient(limit, GOALS_ECHO), *(quotient(each, echo) for each in got)]
            rows.append([f"{MIXES[mix]}, {mode}", f"{limit}", *(number(each) for each in got), quotient(*got), *calls])
    return table(head, rows)


def latency(results):
    """Of a lone request, beside one bare call and one sync."""
    echo = results.baseline(lambda each: each["echo"]["runs"][0]["actions"][0]["latency"]["p50_us"]) / 1_000
    fsync = results.baseline(lambda each: each["fdatasync"]["p50_us"]) / 1_000
    head = ["unary", "p50 at 1 in flight, ms", "goal", "p50 at half load", "p99.9 at half load", "quotient, goal 10"]
    rows = []
    for durability in DURABILITIES:
        for mix, action in (("put", "update"), ("get", "read")):
            lone = results.latency(durability, "unary", mix, 1, action=action, quantile="p50")
            synced = durability == "sync" and mix == "put"
            half = [results.latency(durability, "half", mix, None, action=action, quantile=each) for each in ("p50", "p99_9")]
            limit = 2.5 * echo + (fsync if synced else 0)
            rows.append([f"{mix}, `{durability}`", number(lone), number(limit), *(number(each) for each in half), quotient(half[1], half[0])])
    return table(head, rows)


def matrix(results):
    names = ["p50", "p99", "p99_9"]
    head = ["", "", "", "in flight", "a second", "CPU ms", "CPU ms, load tool", "reads, ms", "writes, ms"]
    rows = []
    for key in results.runs:
        durability, mode, workload, in_flight = key
        if in_flight is None:
            continue
        cpu = [number(results.cpu(*key, of=each)) for each in ("servers", "load_tool")]
        times = [quantiles(results, key, each, names) if results.latency(*key, action=each, quantile="p50") is not None else "" for each in ("read", "update")]
        rows.append([MIXES[workload], mode, f"`{durability}`", str(in_flight), number(results.rate(*key)), *cpu, *times])
    order = list(MIXES.values())
    rows.sort(key=lambda cells: (order.index(cells[0]), MODES.index(cells[1]), cells[2] == "`os`", int(cells[3])))
    return table(head, rows, left=3)


def matrix_tables(folder):
    results = Results(folder)
    echo = results.baseline(lambda each: each["echo"]["runs"][0]["actions"][0]["latency"]["p50_us"])
    fsync = [results.baseline(lambda each, name=name: each["fdatasync"][name]) for name in ("p50_us", "p99_us")]
    parts = [
        f"{made(results.times)} A bare unary echo of 1 KiB takes {echo:.0f} µs "
        f"at 1 in flight; an `fdatasync` of 1.1 KB {fsync[0]:.0f} µs, its 99th percentile {fsync[1]:.0f} µs.",
        beside(results),
        goals(results),
        latency(results),
        "<details><summary>All of it; latencies as p50 / p99 / p99.9</summary>\n\n" + matrix(results) + "\n\n</details>",
    ]
    if results.failed:
        parts.append("Not all requests succeeded:\n\n" + "\n".join(f"- {each}" for each in results.failed))
    return "\n\n".join(parts) + "\n"


# -- More nodes


def scale(folder):
    """Equal load on clusters of several sizes."""
    sizes, failed = {}, 0
    for path in Path(folder).glob("scale-*-*.json"):
        nodes, repetition = map(int, path.stem.split("-")[1:])
        runs = json.loads(path.read_text())["runs"]
        failed += sum(run["failed"] + run["unsent"] for run in runs)
        idle = json.loads((path.parent / f"idle-{nodes}-{repetition}.json").read_text())
        sizes.setdefault(nodes, []).append((runs, idle))
    head = ["nodes", "", "requests a second", "CPU ms of all nodes an operation", "by that of the first row", "without idling", "by that of the first row", "% of a core a node", "of which idle"]
    rows, first = [], {}
    for nodes, repetitions in sorted(sizes.items()):
        for at, run in enumerate(repetitions[0][0]):
            mix = run["name"].split(",")[0]
            of = [figures_of(runs[at], idle) for runs, idle in repetitions]
            rate, whole, busy, core, idle = (statistics.median(each) for each in zip(*of))
            whole_first, busy_first = first.setdefault(mix, (whole, busy))
            rows.append([str(nodes), MIXES[mix], number(rate), number(whole), quotient(whole, whole_first), number(busy), quotient(busy, busy_first), number(core), number(idle)])
    rows.sort(key=lambda cells: (list(MIXES.values()).index(cells[1]), int(cells[0])))
    times = max(len(each) for each in sizes.values())
    notes = f"\n\n{failed} requests failed or could not begin." if failed else ""
    return f"{made(times)} Unary, `sync`.\n\n{table(head, rows, left=2)}{notes}\n"


def figures_of(run, idle):
    """Of a run: operations a second; CPU ms an operation, and that without what the nodes do anyhow; % of a core a node, and when idle."""
    cpu = run["cpu"]
    nodes = len(cpu["servers_s"])
    used, idling = sum(cpu["servers_s"]) / cpu["elapsed_s"], sum(idle["cpu_s"]) / idle["elapsed_s"]
    rate = cpu["operations"] / cpu["elapsed_s"]
    return rate, used * 1_000 / rate, (used - idling) * 1_000 / rate, used * 100 / nodes, idling * 100 / nodes


def instructions(folder):
    """What a request adds to the instructions of all nodes, of clusters of several sizes."""
    counts = {}
    for path in Path(folder).glob("instructions-*-*-*.json"):
        nodes, mix, rate = path.stem.split("-")[1:]
        run = json.loads(path.read_text())["runs"][0]
        counted = int((path.parent / f"counted-{nodes}-{mix}-{rate}").read_text())
        counts.setdefault((mix, int(nodes)), {})[int(rate)] = (run["cpu"]["operations"], counted, run["failed"] + run["unsent"])
    head = ["nodes", "", "requests a second", "instructions an operation", "by that of the first row"]
    rows, first = [], {}
    for (mix, nodes), by_rate in sorted(counts.items(), key=lambda each: (list(MIXES).index(each[0][0]), each[0][1])):
        (few, few_cost, _), (many, many_cost, _) = (by_rate[rate] for rate in sorted(by_rate))
        cost = (many_cost - few_cost) / (many - few)
        rates = " and ".join(map(str, sorted(by_rate)))
        rows.append([str(nodes), MIXES[mix], rates, number(cost), quotient(cost, first.setdefault(mix, cost))])
    failed = sum(run[2] for by_rate in counts.values() for run in by_rate.values())
    notes = f"\n\n{failed} requests failed or could not begin." if failed else ""
    return f"{made(1)} Unary, `sync`; the nodes' own instructions, without the kernel's.\n\n{table(head, rows, left=2)}{notes}\n"


# -- Memory


def memory(folder):
    """Of a node without keys, and by key."""
    by_keys = {}
    for path in Path(folder).glob("memory-*-*.json"):
        for rss, engine in json.loads(path.read_text())["memory"]:
            by_keys.setdefault(int(path.stem.split("-")[1]), []).append((rss, engine, rss - engine))
    medians = {keys: [statistics.median(each) for each in zip(*nodes)] for keys, nodes in sorted(by_keys.items())}
    head = ["keys", "resident, MiB", "of the engine, MiB", "beside it, MiB", "bytes a key beside it"]
    rows = []
    for keys, (rss, engine, rest) in medians.items():
        a_key = number((rest - medians[0][2]) / keys, 4) if keys else ""
        rows.append([f"{keys:,}", *(f"{each / 2**20:.1f}" for each in (rss, engine, rest)), a_key])
    return f"{made(len(by_keys[0]) // 3)}\n\n{table(head, rows, left=0)}\n"


def made(times):
    how = f"Medians of {times}" if times > 1 else "One run"
    return f"{machine()} {how}; {datetime.date.today()}, commit {commit()}."


def machine():
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}, {platform.system()} {platform.release()}."


def commit():
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def write(page, what, text):
    path = Path(page)
    option = {"matrix": "", "scale": " --nodes", "instructions": " --nodes --instructions", "memory": " --memory"}[what]
    begins, ends = (mark.format(option) for mark in MARKS)
    before, rest = path.read_text().split(begins)
    after = rest.split(ends)[1]
    path.write_text(before + begins + "\n" + text + "\n" + ends + after)


# -- For the script


def is_settled(nodes):
    ring = json.load(sys.stdin)
    members = ring["members"]
    return len(members) == nodes and ring["open"] is None and all(each["live"] for each in members)


def half(workload, file):
    runs = json.loads(Path(file).read_text())["runs"]
    return max(run["throughput"] for run in runs if run["name"].startswith(f"{workload},")) / 2


def idle(seconds, pids, admins):
    pids = [int(pid) for pid in pids.split(",")]
    before, begun = [cpu_s(pid) for pid in pids], time.monotonic()
    time.sleep(seconds)
    used = [cpu_s(pid) - at for pid, at in zip(pids, before)]
    elapsed = time.monotonic() - begun
    sizes = [(rss(pid), engine_bytes(admin)) for pid, admin in zip(pids, admins.split(","))]
    return {"elapsed_s": elapsed, "cpu_s": used, "memory": sizes}


def cpu_s(pid):
    """Of all threads, since the start. The name, in brackets, may have spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def engine_bytes(admin):
    """What the engine says of its blocks, filters, indices and write buffers; 0 for one that does not."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=10) as response:
        found = re.search(r"^dynamokv_storage_memory_bytes(?:\{.*\})? (\S+)$", response.read().decode(), re.M)
    return float(found[1]) if found else 0


TABLES = {"matrix": matrix_tables, "scale": scale, "instructions": instructions, "memory": memory}


def main(command, *args):
    if command == "settled":
        sys.exit(not is_settled(int(args[0])))
    elif command == "half":
        print(f"{half(*args):.0f}")
    elif command == "idle":
        print(json.dumps(idle(float(args[0]), *args[1:])))
    elif command == "print":
        print(TABLES[args[0]](args[1]))
    elif command == "write":
        write(args[2], args[0], TABLES[args[0]](args[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
