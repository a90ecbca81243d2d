#!/usr/bin/env python3
"""Counts the flows of a file as Hubble's metrics do, and prints the page that a scrape should show.

usage: count.py FLOWS LIST          with a list as of --metrics
       count.py FLOWS @FILE         with a file as of --metrics-config, written as JSON

It shares nothing with the program that it judges: it reads JSON, counts in dictionaries, and prints
samples in the text format of Prometheus, sorted, with their labels sorted by name.
"""

import json
import sys
from contexts import Contexts, endpoint
from words import DNS_RCODES, MATCHES, PLACES, icmp

BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
DNS_HELP = "Number of DNS queries observed"


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Family:
    def __init__(self, name, help_text, labels, kind="counter"):
        self.name, self.help, self.labels, self.kind = name, help_text, labels, kind
        self.series = {}

    def _of(self, values, new):
        assert len(values) == len(self.labels), (self.name, values, self.labels)
        assert all(isinstance(value, str) for value in values), values
        return self.series.setdefault(tuple(values), new)

    def count(self, values):
        self._of(values, [0])[0] += 1

    def observe(self, values, seconds):
        self._of(values, []).append(seconds)

    def sample(self, suffix, values, value, more=()):
        labels = sorted(list(zip(self.labels, values)) + list(more))
        labels = ",".join(f'{name}="{escaped(text)}"' for name, text in labels)
        return f"{self.name}{suffix}{{{labels}}} {value}" if labels else f"{self.name}{suffix} {value}"

    def lines(self):
        if not self.series:
            return
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for values, found in self.series.items():
            if self.kind == "counter":
                yield self.sample("", values, found[0])
                continue
            total = 0.0
            for seconds in found:
                total += seconds
            yield self.sample("_sum", values, repr(total))
            yield self.sample("_count", values, len(found))
            for bound in BUCKETS + [float("inf")]:
                below = sum(1 for seconds in found if seconds <= bound)
                text = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield self.sample("_bucket", values, below, [("le", text)])


# What a flow is.


def event_type(flow):
    """Its number; None for a flow that has none."""
    event = flow.get("event_type")
    return None if event is None else event.get("type", 0)


def layer4(flow):
    """Name and header of the transport protocol."""
    for name, header in (flow.get("l4") or {}).items():
        return name, header
    return None, None


def layer7(flow):
    """Kind, record and its name, if there is a record."""
    l7 = flow.get("l7")
    if l7 is None:
        return None, None, None
    for name in ("dns", "http", "kafka"):
        if l7.get(name) is not None:
            return l7.get("type", "UNKNOWN_L7_TYPE"), name, l7[name]
    return l7.get("type", "UNKNOWN_L7_TYPE"), None, None


def verdict(flow):
    return str(flow.get("verdict", "VERDICT_UNKNOWN"))


def direction(flow):
    return str(flow.get("traffic_direction", "TRAFFIC_DIRECTION_UNKNOWN"))


def went_on(flow):
    return verdict(flow) in ("FORWARDED", "REDIRECTED")


def seconds(flow):
    return int(flow["l7"].get("latency_ns", 0)) / 1e9


def port(header):
    return str(header.get("destination_port", 0))


APPLICATIONS = {"dns": "DNS", "http": "HTTP", "kafka": "Kafka"}


def protocol(flow):
    event = event_type(flow)
    if event == 129:
        return APPLICATIONS.get(layer7(flow)[1], "Unknown L7")
    if event in (1, 3, 4, 5):
        return layer4(flow)[0] or "Unknown L4"
    return "Unknown flow"


def reporter(flow):
    return {"EGRESS": "client", "INGRESS": "server"}.get(direction(flow), "unknown")


# The plug-ins. Each is made with contexts and options, and is called with flows.


def dns(contexts, options):
    query = ["query"] if "query" in options else []
    labels = contexts.names + ["rcode", "qtypes", "ips_returned"] + query
    queries = Family("hubble_dns_queries_total", DNS_HELP, labels)
    responses = Family("hubble_dns_responses_total", DNS_HELP, labels)
    types = Family("hubble_dns_response_types_total", DNS_HELP, contexts.names + ["type", "qtypes"] + query)

    def count(flow):
        kind, name, record = layer7(flow)
        if name != "dns":
            return
        qtypes = record.get("qtypes", [])
        if "ignoreaaaa" in options and qtypes == ["AAAA"]:
            return
        context = contexts.of(flow)
        asked = [record.get("query", "")] if query else []
        rest = [",".join(qtypes), str(len(record.get("ips", [])))] + asked
        if verdict(flow) == "DROPPED":
            queries.count(context + ["Policy denied"] + rest)
        elif kind == "REQUEST":
            queries.count(context + [""] + rest)
        elif kind == "RESPONSE":
            responses.count(context + [DNS_RCODES.get(record.get("rcode", 0), "")] + rest)
            for rrtype in record.get("rrtypes", []):
                types.count(context + [rrtype, ",".join(qtypes)] + asked)

    return count, [queries, responses, types]


def drop(contexts, _options):
    drops = Family("hubble_drop_total", "Number of drops", contexts.names + ["reason", "protocol"])

    def count(flow):
        if verdict(flow) == "DROPPED":
            reason = str(flow.get("drop_reason_desc", "DROP_REASON_UNKNOWN"))
            drops.count(contexts.of(flow) + [reason, protocol(flow)])

    return count, [drops]


def flow_plugin(contexts, _options):
    labels = ["protocol", "type", "subtype", "verdict"] + contexts.names
    flows = Family("hubble_flows_processed_total", "Total number of flows processed", labels)

    def count(flow):
        event = event_type(flow) or 0
        kinds = {1: ("Drop", ""), 3: ("Capture", ""), 5: ("PolicyVerdict", "")}
        if event == 129:
            kind = ("L7", APPLICATIONS.get(layer7(flow)[1], ""))
        elif event == 4:
            place = flow["event_type"].get("sub_type", 0) % 256
            kind = ("Trace", PLACES[place] if place < len(PLACES) else "")
        else:
            kind = kinds.get(event, ("Unknown", str(event)))
        flows.count([protocol(flow), *kind, verdict(flow)] + contexts.of(flow))

    return count, [flows]


def flows_to_world(contexts, options):
    with_port = ["port"] if "port" in options else []
    labels = ["protocol", "verdict"] + with_port + contexts.names
    flows = Family("hubble_flows_to_world_total", "Total number of flows to reserved:world", labels)
    world = {"reserved:world", "reserved:world-ipv4", "reserved:world-ipv6"}

    def count(flow):
        name, header = layer4(flow)
        if event_type(flow) is None or name is None:
            return
        if not world.intersection(endpoint(flow, "destination").get("labels", [])):
            return
        is_reply = flow.get("is_reply") is True
        if verdict(flow) == "DROPPED":
            if "any-drop" not in options and flow.get("drop_reason_desc") != "POLICY_DENIED":
                return
        elif is_reply:
            return
        if "syn-only" in options:
            flags = (header.get("flags") or {}) if name == "TCP" else {}
            if not flags.get("SYN") or is_reply:
                return
        has_port = name in ("TCP", "UDP", "SCTP")
        ports = [port(header) if has_port else ""] if with_port else []
        flows.count([protocol(flow), verdict(flow)] + ports + contexts.of(flow))

    return count, [flows]


def http(contexts, _options):
    names = contexts.names
    requests = Family("hubble_http_requests_total", "Count of HTTP requests", names + ["method", "protocol", "reporter"])
    responses = Family(
        "hubble_http_responses_total", "Count of HTTP responses", names + ["method", "protocol", "status", "reporter"]
    )
    duration = http_duration(names)

    def count(flow):
        kind, name, record = layer7(flow)
        if name != "http":
            return
        method, version = record.get("method", ""), record.get("protocol", "")
        context = contexts.of(flow)
        if kind == "REQUEST":
            requests.count(context + [method, version, reporter(flow)])
        elif kind == "RESPONSE":
            responses.count(context + [method, version, str(record.get("code", 0)), reporter(flow)])
            duration.observe(context + [method, reporter(flow)], seconds(flow))

    return count, [requests, responses, duration]


def http_duration(names):
    help_text = "Quantiles of HTTP request duration in seconds"
    return Family("hubble_http_request_duration_seconds", help_text, names + ["method", "reporter"], "histogram")


def http_v2(contexts, _options):
    labels = contexts.names + ["method", "protocol", "status", "reporter"]
    requests = Family("hubble_http_requests_total", "Count of HTTP requests", labels)
    duration = http_duration(contexts.names)

    def count(flow):
        kind, name, record = layer7(flow)
        if name != "http" or kind != "RESPONSE":
            return
        method, version = record.get("method", ""), record.get("protocol", "")
        context = contexts.of(flow, turned=True)
        requests.count(context + [method, version, str(record.get("code", 0)), reporter(flow)])
        duration.observe(context + [method, reporter(flow)], seconds(flow))

    return count, [requests, duration]


def icmp_plugin(contexts, _options):
    messages = Family("hubble_icmp_total", "Number of ICMP messages", ["family", "type"] + contexts.names)

    def count(flow):
        name, header = layer4(flow)
        if name in ("ICMPv4", "ICMPv6"):
            text = icmp(name, header.get("type", 0) % 256, header.get("code", 0) % 256)
            messages.count(["IPv4", text] + contexts.of(flow))

    return count, [messages]


def kafka(contexts, _options):
    names = contexts.names
    requests = Family(
        "hubble_kafka_requests_total", "Count of Kafka requests", names + ["topic", "api_key", "error_code", "reporter"]
    )
    duration = Family(
        "hubble_kafka_request_duration_seconds",
        "Quantiles of Kafka request duration in seconds",
        names + ["topic", "api_key", "reporter"],
        "histogram",
    )

    def count(flow):
        kind, name, record = layer7(flow)
        if name != "kafka":
            return
        topic = [record.get("topic", ""), record.get("api_key", "")]
        context = contexts.of(flow)
        requests.count(context + topic + [str(record.get("error_code", 0)), reporter(flow)])
        if kind == "RESPONSE":
            duration.observe(context + topic + [reporter(flow)], seconds(flow))

    return count, [requests, duration]


def policy(contexts, _options):
    labels = ["direction", "match", "action"] + contexts.names
    verdicts = Family("hubble_policy_verdicts_total", "Total number of Cilium network policy verdicts", labels)

    def count(flow):
        event = event_type(flow)
        if event == 5:
            if endpoint(flow, "source").get("identity", 0) == 1:
                return
            match = MATCHES.get(flow.get("policy_match_type", 0), "unknown")
        elif event == 129:
            match = "l7/" + (layer7(flow)[1] or "")
        else:
            return
        verdicts.count([direction(flow).lower(), match, verdict(flow).lower()] + contexts.of(flow))

    return count, [verdicts]


def port_distribution(contexts, _options):
    help_text = "Numbers of packets distributed by destination port"
    ports = Family("hubble_port_distribution_total", help_text, ["protocol", "port"] + contexts.names)

    def count(flow):
        name, header = layer4(flow)
        if not went_on(flow) or flow.get("is_reply") is not False:
            return
        if name in ("TCP", "UDP", "SCTP"):
            ports.count([protocol(flow), port(header)] + contexts.of(flow))
        elif name in ("ICMPv4", "ICMPv6"):
            ports.count([protocol(flow), "0"] + contexts.of(flow))

    return count, [ports]


def sctp(_contexts, _options):
    # The messages of flows have no place for the type of a chunk.
    return lambda flow: None, []


def tcp(contexts, _options):
    flags = Family("hubble_tcp_flags_total", "TCP flag occurrences", ["flag", "family"] + contexts.names)

    def count(flow):
        name, header = layer4(flow)
        ip = flow.get("IP")
        if not went_on(flow) or name != "TCP" or header.get("flags") is None or ip is None:
            return
        is_set = header["flags"].get
        found = [flag for flag in ("FIN", "RST") if is_set(flag)]
        if is_set("SYN"):
            found.append("SYN-ACK" if is_set("ACK") else "SYN")
        for flag in found:
            flags.count([flag, ip.get("ipVersion", "IP_NOT_USED")] + contexts.of(flow))

    return count, [flags]


PLUGINS = {
    "dns": dns,
    "drop": drop,
    "flow": flow_plugin,
    "flows-to-world": flows_to_world,
    "http": http,
    "httpV2": http_v2,
    "icmp": icmp_plugin,
    "kafka": kafka,
    "policy": policy,
    "port-distribution": port_distribution,
    "sctp": sctp,
    "tcp": tcp,
}


def main():
    from config import from_file, from_list, lets_through

    flows_file, wanted = sys.argv[1:]
    entries = from_file(wanted[1:]) if wanted.startswith("@") else from_list(wanted)
    handlers, families = [], []
    for name, options, include, exclude in entries:
        count, made = PLUGINS[name](Contexts(options), options)
        handlers.append((count, include, exclude))
        families += made
    with open(flows_file, encoding="utf-8") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            flow = event.get("flow")
            if not isinstance(flow, dict):
                continue
            for count, include, exclude in handlers:
                if lets_through(flow, include, exclude):
                    count(flow)
    sys.stdout.reconfigure(encoding="utf-8")
    for line in sorted(line for family in families for line in family.lines()):
        print(line)


if __name__ == "__main__":
    main()
