//! All commands, with their help.

use super::{Action, Command, GLOBAL};
use crate::flags::{Section, help::Page};
use crate::{command, doctor, observe, settings};

#[cfg(feature = "node")]
const ROOT_EXAMPLES: &str = "\
Examples:
  sudo palomar observe --embedded          watch this machine, with nothing set up
  palomar observe -f --verdict DROPPED     what the agent or relay within reach sees dropped
  palomar status --server relay:4245       is the relay well, are all nodes there?
  palomar doctor                           why a server or a node cannot be reached";

#[cfg(not(feature = "node"))]
const ROOT_EXAMPLES: &str = "\
Examples:
  palomar observe --last 50                the latest flows of the agent or relay within reach
  palomar observe -f --verdict DROPPED     what is dropped from now on
  palomar status --server relay:4245       is the relay well, are all nodes there?
  palomar doctor                           why a server or a node cannot be reached";

pub(super) static ROOT: Command = Command {
    names: &["palomar"],
    page: Page {
        path: "palomar",
        about: "See who talks to whom on a Linux host or in a Kubernetes cluster, what was \
            dropped and why",
        details: "Speaks Hubble's API: asks Hubble's servers, and Hubble's clients can ask palomar.",
        examples: ROOT_EXAMPLES,
    },
    sections: &[GLOBAL],
    children: CHILDREN,
    action: None,
};

/// Flags of the commands that ask a server and print its answer.
const ASKING: &[Section] = &[command::output::SECTION, settings::SECTION, GLOBAL];

static CHILDREN: &[Command] = &[
    #[cfg(feature = "node")]
    command::Node::Agent.command(),
    #[cfg(feature = "node")]
    command::Node::Demo.command(),
    Command {
        names: &["doctor"],
        page: Page {
            path: "palomar doctor",
            about: "Find out why a server or a node cannot be reached",
            details: DOCTOR_DETAILS,
            examples: DOCTOR_EXAMPLES,
        },
        sections: &[doctor::SECTION, settings::SECTION, GLOBAL],
        children: &[],
        action: Some(Action::Doctor),
    },
    Command {
        names: &["help"],
        page: Page {
            path: "palomar help",
            about: "Print the help text of a command",
            details: "",
            examples: "Examples:\n  palomar help list nodes",
        },
        sections: &[GLOBAL],
        children: &[],
        action: Some(Action::Help),
    },
    Command {
        names: &["list"],
        page: Page {
            path: "palomar list",
            about: "List what a server knows",
            details: "",
            examples: "Examples:\n  palomar list nodes -o wide\n  palomar list namespaces",
        },
        sections: &[settings::SECTION, GLOBAL],
        children: LIST,
        action: None,
    },
    Command {
        names: &["observe"],
        page: Page {
            path: "palomar observe",
            about: "Show flows: who talks to whom, what was dropped and why",
            details: OBSERVE_DETAILS,
            examples: OBSERVE_EXAMPLES,
        },
        sections: observe::args::FLOWS,
        children: OBSERVE,
        action: Some(Action::Flows),
    },
    #[cfg(feature = "node")]
    command::Node::Relay.command(),
    Command {
        names: &["status"],
        page: Page {
            path: "palomar status",
            about: "Ask a server whether it is well and how much it holds",
            details: "Fails unless the server says that it is healthy.",
            examples: "Examples:\n  palomar status\n  palomar status -o json --server \
                tls://relay.example:443",
        },
        sections: ASKING,
        children: &[],
        action: Some(Action::Status),
    },
    Command {
        names: &["version"],
        page: Page {
            path: "palomar version",
            about: "Print the version of this program and of the API that it speaks",
            details: "",
            examples: "",
        },
        sections: &[GLOBAL],
        children: &[],
        action: Some(Action::Version),
    },
    Command {
        names: &["watch", "w"],
        page: Page {
            path: "palomar watch",
            about: "Show changes as they happen",
            details: "",
            examples: "Examples:\n  palomar watch peers --server unix:///run/palomar/observer.sock",
        },
        sections: &[settings::SECTION, GLOBAL],
        children: WATCH,
        action: None,
    },
];

static LIST: &[Command] = &[
    Command {
        names: &["namespaces"],
        page: Page {
            path: "palomar list namespaces",
            about: "Namespaces that had flows during the last hour",
            details: "Formats: table (default), wide, json.",
            examples: "",
        },
        sections: ASKING,
        children: &[],
        action: Some(Action::Namespaces),
    },
    Command {
        names: &["nodes", "node"],
        page: Page {
            path: "palomar list nodes",
            about: "Nodes behind a relay, with their state and rates",
            details: "Formats: table (default), wide, json.",
            examples: "",
        },
        sections: ASKING,
        children: &[],
        action: Some(Action::Nodes),
    },
];

static OBSERVE: &[Command] = &[
    Command {
        names: &["agent-events"],
        page: Page {
            path: "palomar observe agent-events",
            about: "Show what agents did: starts, policies, endpoints",
            details: "",
            examples: "",
        },
        sections: observe::args::EVENTS,
        children: &[],
        action: Some(Action::AgentEvents),
    },
    Command {
        names: &["debug-events"],
        page: Page {
            path: "palomar observe debug-events",
            about: "Show debug records of the data path",
            details: "",
            examples: "",
        },
        sections: observe::args::EVENTS,
        children: &[],
        action: Some(Action::DebugEvents),
    },
    Command {
        names: &["flows"],
        page: Page {
            path: "palomar observe flows",
            about: "Show flows; the same as observe alone",
            details: OBSERVE_DETAILS,
            examples: OBSERVE_EXAMPLES,
        },
        sections: observe::args::FLOWS,
        children: &[],
        action: Some(Action::Flows),
    },
];

static WATCH: &[Command] = &[Command {
    names: &["peers", "peer"],
    page: Page {
        path: "palomar watch peers",
        about: "Nodes that an agent announces to relays, as they come and go",
        details: "",
        examples: "",
    },
    sections: &[settings::SECTION, GLOBAL],
    children: &[],
    action: Some(Action::Peers),
}];

const DOCTOR_DETAILS: &str = "\
palomar doctor [FLAGS] [TARGET...] looks at each TARGET, spelled as behind --server; without one at
the server that observe asks, and at all nodes that this one names. Each gets a line, with the first
step that failed of: name, route, port, TLS, gRPC, API, flows. --timeout bounds each step. The
password goes to no node that a server names.
Exit code: 0 if all are well, 1 if something failed, 2 if the command line is wrong.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  The agent or relay within reach, and its nodes:
    palomar doctor

  A relay with TLS, and its nodes:
    palomar doctor --server tls://relay.example:443 --tls-ca-cert-files ca.crt

  These servers only, for a script:
    palomar doctor -o json --timeout 2s node-1:4244 unix:///run/palomar/observer.sock";

const OBSERVE_DETAILS: &str = "\
Without flags it shows the latest 20 flows. Each filter flag narrows that down: a flow is shown if
it matches all flags, and of a flag that is given more than once any value. --not before a flag
hides what the flag matches; all flags with --not together describe what to hide.";

const OBSERVE_EXAMPLES: &str = "\
Examples:
  What is dropped, and goes on being dropped, in the namespace shop:
    palomar observe -f -n shop --verdict DROPPED

  Who asked the database during the last ten minutes, but for the backup:
    palomar observe --since 10m --to-pod shop/db --not --from-pod shop/backup

  DNS answers to pods of either of two namespaces:
    palomar observe --protocol dns --to-namespace shop --to-namespace billing

  Keep flows, and look at them later:
    palomar observe --all -o json > flows.json
    palomar observe --input-file flows.json --port 443";
