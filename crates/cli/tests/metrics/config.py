"""Which metrics are asked for: by a list, or by a file written as JSON."""

import json
import re


def from_list(text):
    """Items between blanks, or between commas where what comes next is an item."""
    from count import PLUGINS

    names = "|".join(sorted(map(re.escape, PLUGINS), key=len, reverse=True))
    text = re.sub(rf",(?=({names})(?=[,:\s]|$))", " ", text)
    entries = {}
    for item in text.split():
        name, _, rest = item.partition(":")
        options = {}
        for option in filter(None, rest.split(";")):
            key, _, values = option.partition("=")
            between = "|" if "|" in values else ","
            options[key.lower()] = [value for value in values.split(between) if value]
        entries[name] = (name, options, [], [])
    return list(entries.values())


def from_file(path):
    with open(path, encoding="utf-8") as file:
        written = json.load(file)
    for metric in written.get("metrics") or []:
        options = {it["name"].lower(): it.get("values") or [] for it in metric.get("contextOptions") or []}
        yield metric["name"], options, metric.get("includeFilters") or [], metric.get("excludeFilters") or []


def lets_through(flow, include, exclude):
    if include and not any(matches(flow, it) for it in include):
        return False
    return not any(matches(flow, it) for it in exclude)


def matches(flow, wanted):
    """Those filters that tests use."""
    for field, values in wanted.items():
        if field == "verdict":
            is_so = flow.get("verdict", "VERDICT_UNKNOWN") in values
        elif field in ("source_pod", "destination_pod"):
            of = flow.get(field.split("_")[0]) or {}
            name = f"{of.get('namespace', '')}/{of.get('pod_name', '')}"
            is_so = bool(of.get("pod_name")) and any(name.startswith(value) for value in values)
        elif field == "traffic_direction":
            is_so = flow.get("traffic_direction", "TRAFFIC_DIRECTION_UNKNOWN") in values
        elif field == "destination_port":
            l4 = flow.get("l4") or {}
            ports = [str(header.get("destination_port", 0)) for name, header in l4.items() if name in ("TCP", "UDP", "SCTP")]
            is_so = any(port in values for port in ports)
        else:
            raise ValueError(f"no such filter here: {field}")
        if not is_so:
            return False
    return True
