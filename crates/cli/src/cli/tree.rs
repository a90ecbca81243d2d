//! All commands, with their help.

use super::{Action, Command, GLOBAL};
use crate::command::{completion, config::Verb};
use crate::flags::{Section, help::Page};
use crate::{command, doctor, observe, settings};

#[cfg(feature = "node")]
const ROOT_EXAMPLES: &str = "\
Examples:
  sudo palomar observe --embedded          watch this machine, with nothing set up
  palomar observe -f --verdict DROPPED     what the agent or relay within reach sees dropped
  palomar status --server relay:4245       is the relay well, are all nodes there?
  palomar top                              what goes on right now, refreshed each second
  palomar doctor                           why a server or a node cannot be reached";

#[cfg(not(feature = "node"))]
const ROOT_EXAMPLES: &str = "\
Examples:
  palomar observe --last 50                the latest flows of the agent or relay within reach
  palomar observe -f --verdict DROPPED     what is dropped from now on
  palomar status --server relay:4245       is the relay well, are all nodes there?
  palomar top                              what goes on right now, refreshed each second
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
    sections: &[GLOBAL, settings::UNTOLD, command::version::SECTION],
    children: CHILDREN,
    action: None,
};

/// Flags of commands that ask nobody. Those about the server are taken, since Hubble's client takes
/// them everywhere, and `config` shows what they would mean.
const ASKING_NOBODY: &[Section] = &[GLOBAL, settings::UNTOLD];

/// Flags of the commands that ask a server and print its answer.
const ASKING: &[Section] = &[command::output::SECTION, settings::SECTION, GLOBAL];

static CHILDREN: &[Command] = &[
    #[cfg(feature = "node")]
    command::Node::Agent.command(),
    #[cfg(feature = "node")]
    command::Node::Demo.command(),
    completion::COMMAND,
    Command {
        names: &["config"],
        page: Page {
            path: "palomar config",
            about: "Show or change what is configured",
            details: CONFIG_DETAILS,
            examples: CONFIG_EXAMPLES,
        },
        sections: ASKING_NOBODY,
        children: CONFIG,
        action: None,
    },
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
    #[cfg(feature = "node")]
    Command {
        names: &["export"],
        page: Page {
            path: "palomar export",
            about: "Write the flows of a server to a file, and go on where it ends",
            details: EXPORT_DETAILS,
            examples: EXPORT_EXAMPLES,
        },
        sections: &[command::export::SECTION, settings::SECTION, GLOBAL],
        children: &[],
        action: Some(Action::Export),
    },
    Command {
        names: &["help"],
        page: Page {
            path: "palomar help",
            about: "Print the help text of a command",
            details: "",
            examples: "Examples:\n  palomar help list nodes",
        },
        sections: ASKING_NOBODY,
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
        names: &["man"],
        page: Page {
            path: "palomar man",
            about: "Print the manual page of a command",
            details: "Pages are in the form that man reads. With --output-dir it writes those of all \
                commands.",
            examples: "Examples:\n  palomar man observe | man -l -\n  \
                palomar man --output-dir /usr/local/share/man/man1",
        },
        sections: &[crate::manual::SECTION, GLOBAL],
        children: &[],
        action: Some(Action::Manual),
    },
    #[cfg(feature = "node")]
    Command {
        names: &["metrics"],
        page: Page {
            path: "palomar metrics",
            about: "Find out what metrics of flows would cost",
            details: "",
            examples: "Examples:\n  palomar metrics plan 'dns:query drop:sourceContext=pod' \
                --input-file flows.json",
        },
        sections: &[settings::SECTION, GLOBAL],
        children: METRICS,
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
        names: &["reflect"],
        page: Page {
            path: "palomar reflect",
            about: "List the services and calls that a server tells of",
            details: "Asks by gRPC's reflection, which shows what a server speaks, whatever it is.",
            examples: "Examples:\n  palomar reflect --server unix:///run/palomar/observer.sock",
        },
        sections: &[settings::SECTION, GLOBAL],
        children: &[],
        action: Some(Action::Reflect),
    },
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
        names: &["top"],
        page: Page {
            path: "palomar top",
            about: "Watch who talks to whom right now, and what is dropped",
            details: TOP_DETAILS,
            examples: TOP_EXAMPLES,
        },
        sections: observe::args::TOP,
        children: &[],
        action: Some(Action::Top),
    },
    Command {
        names: &["version"],
        page: Page {
            path: "palomar version",
            about: "Print the version of this program and of the API that it speaks",
            details: "",
            examples: "Examples:\n  palomar version",
        },
        sections: ASKING_NOBODY,
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

static CONFIG: &[Command] = &[
    Command {
        names: &["get"],
        page: Page {
            path: "palomar config get",
            about: "Print a setting, or all of them",
            details: "",
            examples: "Examples:\n  palomar config get server",
        },
        sections: ASKING_NOBODY,
        children: &[],
        action: Some(Action::Config(Verb::Get)),
    },
    Command {
        names: &["reset"],
        page: Page {
            path: "palomar config reset",
            about: "Go back to what holds by itself, for a setting or for all",
            details: "With a KEY it is the same as set KEY without a value. Without, it takes all \n\
                settings out of the file, and leaves what else is in there.",
            examples: "Examples:\n  palomar config reset tls-server-name",
        },
        sections: ASKING_NOBODY,
        children: &[],
        action: Some(Action::Config(Verb::Reset)),
    },
    Command {
        names: &["set"],
        page: Page {
            path: "palomar config set",
            about: "Change a setting in the file",
            details: "The file is made if there is none. Without a VALUE the setting goes back to \
                what holds\nby itself. Lists have commas between their elements.",
            examples: "Examples:\n  palomar config set server tls://relay.example:443\n  \
                palomar config set tls-ca-cert-files ca.pem,other-ca.pem\n  \
                palomar config set timeout 2s",
        },
        sections: ASKING_NOBODY,
        children: &[],
        action: Some(Action::Config(Verb::Set)),
    },
    Command {
        names: &["view"],
        page: Page {
            path: "palomar config view",
            about: "Print all settings that hold: of flags, the environment and the file",
            details: "",
            examples: "Examples:\n  PALOMAR_SERVER=relay:4245 palomar config view",
        },
        sections: ASKING_NOBODY,
        children: &[],
        action: Some(Action::Config(Verb::View)),
    },
];

static LIST: &[Command] = &[
    Command {
        names: &["namespaces"],
        page: Page {
            path: "palomar list namespaces",
            about: "Namespaces that had flows during the last hour",
            details: "Formats: table (default), wide, json.",
            examples: "Examples:\n  palomar list namespaces -o wide",
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
            examples: "Examples:\n  palomar list nodes --server relay:4245\n  \
                palomar list nodes -o json",
        },
        sections: ASKING,
        children: &[],
        action: Some(Action::Nodes),
    },
];

#[cfg(feature = "node")]
static METRICS: &[Command] = &[Command {
    names: &["plan"],
    page: Page {
        path: "palomar metrics plan",
        about: "Tell how many series a configuration makes, and which labels make them",
        details: PLAN_DETAILS,
        examples: PLAN_EXAMPLES,
    },
    sections: observe::args::PLAN,
    children: &[],
    action: Some(Action::MetricsPlan),
}];

static OBSERVE: &[Command] = &[
    Command {
        names: &["agent-events"],
        page: Page {
            path: "palomar observe agent-events",
            about: "Show what agents did: starts, policies, endpoints",
            details: "",
            examples: "Examples:\n  palomar observe agent-events --since 1h\n  \
                palomar observe agent-events -f -o json",
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
            examples: "Examples:\n  palomar observe debug-events -f",
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
        examples: "Examples:\n  palomar watch peers --server unix:///run/palomar/observer.sock",
    },
    sections: &[settings::SECTION, GLOBAL],
    children: &[],
    action: Some(Action::Peers),
}];

const CONFIG_DETAILS: &str = "\
A setting is looked for on the command line, then in the environment, then in the file; where none
of them has it, its default holds. In the environment the setting tls-server-name is called
PALOMAR_TLS_SERVER_NAME, else HUBBLE_TLS_SERVER_NAME. The file is ~/.config/palomar/config.yaml, or,
without one, ~/.config/hubble/config.yaml.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  palomar config set server relay.example:4245
  palomar config set tls true
  palomar config view";

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

#[cfg(feature = "node")]
const EXPORT_DETAILS: &str = "\
Follows the server and writes each flow as a line of JSON, as Hubble's exporter does. After a break it
asks for what came since, and so it does when it is started again on the same file: nothing is
missing that the server still has, and nothing is there twice. What the server has no longer is told
on standard error and in the file, as lost_events.";

#[cfg(feature = "node")]
const EXPORT_EXAMPLES: &str = "\
Examples:
  The flows of a cluster, in files of 100 MB of which the latest ten stay, packed:
    palomar export --server relay:4245 --file /var/log/palomar/flows.log \\
      --file-max-size-mb 100 --file-max-backups 10 --file-compress=zstd

  What is dropped, to a log shipper that reads standard input:
    palomar export --file stdout --allowlist '{\"verdict\":[\"DROPPED\"]}' | vector";

#[cfg(feature = "node")]
const PLAN_DETAILS: &str = "\
CONFIG is what an agent takes: a list as behind --metrics, in quotes, or the file of --metrics-config.
It is tried on flows, which are counted as agents count them: each node by itself, each metric with at
most --metrics-series-budget series. Flows are all that the server has, unless told otherwise.

SERIES are combinations of labels on all nodes, as if there were no budget; TIME SERIES what Prometheus
has of them within the budget, where a histogram is 14. NEW came with the last tenth of the flows: as
long as there are any, more flows make more series. AS OTHER is how often something was counted as
other, since the budget of its node was used up. WITHOUT IT is how many series there were without a
label; - for labels that cannot be left out.";

#[cfg(feature = "node")]
const PLAN_EXAMPLES: &str = "\
Examples:
  What a configuration makes of the flows that the cluster's agents have right now:
    palomar metrics plan --server relay:4245 \\
      'dns:query drop:sourceContext=pod;destinationContext=pod|dns|ip'

  The same for a file, on recorded flows:
    palomar metrics plan metrics.yaml --input-file monday.json.gz --input-file tuesday.json.gz

  On the flows of the next ten minutes, with another budget:
    palomar metrics plan 'port-distribution flow:labelsContext=source_workload' \\
      --for 10m --metrics-series-budget 2000

  Which metrics have more series than fit, for a script:
    palomar metrics plan metrics.yaml --input-file flows.json -o json |
      jq '.metrics[] | select(.nodes_beyond_budget > 0) | .name'";

const TOP_DETAILS: &str = "\
Draws on the terminal and refreshes each second: 1 to 5 choose a view, s the order, / a filter,
Enter shows the flows of a row, p lets the screen stand still, ? tells all keys, q leaves. Filter
flags say what is counted, as those of observe do. Counting begins now; what is lost is told.";

const TOP_EXAMPLES: &str = "\
Examples:
  The busiest connections of the agent or relay within reach:
    palomar top

  What is dropped in the namespace shop, and why:
    palomar top --view drops -n shop

  Which workloads use the most bytes, by the way:
    palomar top --group-by client.workload,server.workload --sort-by bytes/s

  For a script: a table of the last five seconds
    palomar top --once --interval 5s --view names";

const OBSERVE_DETAILS: &str = "\
Without flags it shows the latest 20 flows. Each filter flag narrows that down: a flow is shown if
it matches all flags, and of a flag that is given more than once any value. --not before a flag
hides what the flag matches; all flags with --not together describe what to hide. --where says what
flags cannot: OR, NOT and parentheses over any field.";

const OBSERVE_EXAMPLES: &str = "\
Examples:
  What is dropped, and goes on being dropped, in the namespace shop:
    palomar observe -f -n shop --verdict DROPPED

  Who asked the database during the last ten minutes, but for the backup:
    palomar observe --since 10m --to-pod shop/db --not --from-pod shop/backup

  DNS answers to pods of either of two namespaces:
    palomar observe --protocol dns --to-namespace shop --to-namespace billing

  Which requests failed, and how often each:
    palomar observe --since 1h --http-status 5+ --group-by server,http.method,http.path

  From a laptop, through the API server of the cluster that kubectl uses:
    palomar observe -P -f

  Server errors, or refused connections that come from outside:
    palomar observe --where 'http.code >= 500 || tcp.flags.RST && !(source.ip in \"10.0.0.0/8\")'

  What would that show, and can it match at all?
    palomar observe --verdict FORWARDED --where 'verdict == DROPPED || tcp' --explain

  Watch what is dropped, keep it, and look at it later:
    palomar observe -f --verdict DROPPED --record drops.json.gz
    palomar observe --input-file drops.json.gz --port 443

  A table for a spreadsheet:
    palomar observe --all -o csv > flows.csv
    palomar observe --all -o csv --columns time,source.pod,destination.port,verdict > flows.csv";
