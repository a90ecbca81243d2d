"""Words for numbers."""

PLACES = (
    "to-endpoint to-proxy to-host to-stack to-overlay from-endpoint from-proxy from-host from-stack "
    "from-overlay from-network to-network from-crypto to-crypto"
).split()

MATCHES = {0: "none", 1: "l3-only", 2: "l3-l4", 3: "l4-only", 4: "all", 5: "l3-proto", 6: "proto-only"}

DNS_RCODES = {
    0: "No Error",
    1: "Format Error",
    2: "Server Failure",
    3: "Non-Existent Domain",
    4: "Not Implemented",
    5: "Query Refused",
    6: "Name Exists when it should not",
    7: "RR Set Exists when it should not",
    8: "RR Set that should exist does not",
    9: "Not Authorized",
    10: "Name not contained in zone",
    11: "DSO-TYPE Not Implemented",
    16: "Bad OPT Version",
    17: "Key not recognized",
    18: "Signature out of time window",
    19: "Bad TKEY Mode",
    20: "Duplicate key name",
    21: "Algorithm not supported",
    22: "Bad Truncation",
    23: "Bad/missing Server Cookie",
}

ICMP = {
    "ICMPv4": {
        0: ("EchoReply", []),
        3: (
            "DestinationUnreachable",
            "Net Host Protocol Port FragmentationNeeded SourceRoutingFailed NetUnknown HostUnknown "
            "SourceIsolated NetAdminProhibited HostAdminProhibited NetTOS HostTOS CommAdminProhibited "
            "HostPrecedence PrecedenceCutoff".split(),
        ),
        4: ("SourceQuench", []),
        5: ("Redirect", "Net Host TOS+Net TOS+Host".split()),
        8: ("EchoRequest", []),
        9: ("RouterAdvertisement", []),
        10: ("RouterSolicitation", []),
        11: ("TimeExceeded", "TTLExceeded FragmentReassemblyTimeExceeded".split()),
        12: ("ParameterProblem", "PointerIndicatesError MissingOption BadLength".split()),
        13: ("TimestampRequest", []),
        14: ("TimestampReply", []),
        15: ("InfoRequest", []),
        16: ("InfoReply", []),
        17: ("AddressMaskRequest", []),
        18: ("AddressMaskReply", []),
    },
    "ICMPv6": {
        1: (
            "DestinationUnreachable",
            "NoRouteToDst AdminProhibited BeyondScopeOfSrc AddressUnreachable PortUnreachable "
            "SrcAddressFailedPolicy RejectRouteToDst".split(),
        ),
        2: ("PacketTooBig", []),
        3: ("TimeExceeded", "HopLimitExceeded FragmentReassemblyTimeExceeded".split()),
        4: ("ParameterProblem", "ErroneousHeaderField UnrecognizedNextHeader UnrecognizedNextHeader".split()),
        128: ("EchoRequest", []),
        129: ("EchoReply", []),
        133: ("RouterSolicitation", []),
        134: ("RouterAdvertisement", []),
        135: ("NeighborSolicitation", []),
        136: ("NeighborAdvertisement", []),
        137: ("Redirect", []),
    },
}


def icmp(protocol, kind, code):
    if kind not in ICMP[protocol]:
        return f"{kind}({code})"
    name, codes = ICMP[protocol][kind]
    if code < len(codes):
        return f"{name}({codes[code]})"
    return f"{name}(Code: {code})" if codes or code else name
