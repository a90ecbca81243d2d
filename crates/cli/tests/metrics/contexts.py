"""What labels say of who a flow was from and to."""

SIDES = ("source", "destination")
PARTS = ("ip", "pod", "namespace", "workload", "workload_kind", "app")
APP_KEYS = ("k8s:app.kubernetes.io/name", "k8s:k8s-app", "k8s:app")


def endpoint(flow, side):
    return flow.get(side) or {}


def in_namespace(of, name):
    namespace = of.get("namespace", "")
    return f"{namespace}/{name}" if namespace else name


def first_workload(of):
    workloads = of.get("workloads") or []
    return workloads[0] if workloads else None


def shortened(name):
    """Without one or two parts at its end, of small letters and digits, before which something is."""
    parts = name.split("-")
    cut = 0
    while cut < 2 and len(parts) > 1:
        part = parts[-1]
        is_part = part != "" and all("a" <= it <= "z" or "0" <= it <= "9" for it in part)
        if not is_part or "-".join(parts[:-1]) == "":
            break
        parts.pop()
        cut += 1
    return "-".join(parts)


def app(of):
    for label in of.get("labels", []):
        key, _, value = label.partition("=")
        if key in APP_KEYS and value:
            return value
    return ""


def reserved(of):
    labels = [label for label in of.get("labels", []) if label.startswith("reserved:")]
    if "reserved:kube-apiserver" in labels:
        return "reserved:kube-apiserver"
    return labels[0] if labels else ""


def address(flow, side):
    return (flow.get("IP") or {}).get(side, "")


def said(context, flow, side):
    of = endpoint(flow, side)
    workload = first_workload(of)
    if context == "identity":
        return ",".join(of.get("labels", []))
    if context == "namespace":
        return of.get("namespace", "")
    if context == "pod":
        return in_namespace(of, of.get("pod_name", ""))
    if context == "pod-name":
        return of.get("pod_name", "")
    if context == "pod-short":
        return in_namespace(of, shortened(of.get("pod_name", "")))
    if context == "dns":
        return ",".join(flow.get(f"{side}_names", []))
    if context == "ip":
        return address(flow, side)
    if context == "reserved-identity":
        return reserved(of)
    if context == "workload":
        return in_namespace(of, workload.get("name", "")) if workload is not None else ""
    if context == "workload-name":
        return (workload or {}).get("name", "")
    if context == "app":
        return app(of)
    raise ValueError(f"unknown context {context}")


def part(name, flow, turned):
    if name == "traffic_direction":
        direction = flow.get("traffic_direction", "TRAFFIC_DIRECTION_UNKNOWN")
        known = {"INGRESS": "ingress", "EGRESS": "egress", "TRAFFIC_DIRECTION_UNKNOWN": "unknown"}
        return known.get(direction, str(direction))
    side, _, what = name.partition("_")
    if turned:
        side = SIDES[1 - SIDES.index(side)]
    of = endpoint(flow, side)
    workload = first_workload(of) or {}
    return {
        "ip": lambda: address(flow, side),
        "pod": lambda: of.get("pod_name", ""),
        "namespace": lambda: of.get("namespace", ""),
        "workload": lambda: workload.get("name", ""),
        "workload_kind": lambda: workload.get("kind", ""),
        "app": lambda: app(of),
    }[what]()


class Contexts:
    def __init__(self, options):
        wanted = options.get("labelscontext", [])
        every = [f"{side}_{what}" for side in SIDES for what in PARTS] + ["traffic_direction"]
        assert set(wanted) <= set(every), wanted
        self.labels = [label for label in every if label in wanted]
        self.lists = {
            (side, way): [it.lower() for it in options.get(f"{side}{way}context", [])]
            for side in SIDES
            for way in ("", "egress", "ingress")
        }
        self.sides = [side for side in SIDES if any(self.lists[side, way] for way in ("", "egress", "ingress"))]
        self.names = self.labels + self.sides

    def _side(self, flow, side):
        way = str(flow.get("traffic_direction", "")).lower()
        contexts = self.lists.get((side, way)) or self.lists[side, ""]
        for context in contexts:
            text = said(context, flow, side)
            if text:
                return text
        return ""

    def of(self, flow, turned=False):
        values = [part(label, flow, turned) for label in self.labels]
        for side in self.sides:
            of = SIDES[1 - SIDES.index(side)] if turned else side
            values.append(self._side(flow, of))
        return values
