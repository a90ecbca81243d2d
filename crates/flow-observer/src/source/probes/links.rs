//! Attaching the classifiers to a device.

use aya::{
    Ebpf,
    programs::{
        LinkOrder, SchedClassifier,
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, qdisc_add_clsact},
    },
    util::KernelVersion,
};

use super::{ProbeError, devices::Device, program_mut};

/// The program that empties the flow table, attached nowhere.
pub(super) const RETIRE: &str = "retire";

/// Since this version devices have TCX; before, a queueing discipline holds classifiers.
const TCX_SINCE: KernelVersion = KernelVersion::new(6, 6, 0);

/// Whether to attach by TCX links.
pub(super) fn has_tcx(force_clsact: bool) -> bool {
    !force_clsact && KernelVersion::current().is_ok_and(|version| version >= TCX_SINCE)
}

/// Attaches the two classifiers of the device's role. Dropping the links detaches them; those of
/// `clsact` only from within the network namespace, where the thread that attached them is.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    device: &Device,
    has_tcx: bool,
) -> Result<[SchedClassifierLink; 2], ProbeError> {
    let [inward, outward] = device.role.programs();
    Ok([
        attach_one(ebpf, inward, device, TcAttachType::Ingress, has_tcx)?,
        attach_one(ebpf, outward, device, TcAttachType::Egress, has_tcx)?,
    ])
}

fn attach_one(
    ebpf: &mut Ebpf,
    program: &'static str,
    device: &Device,
    direction: TcAttachType,
    has_tcx: bool,
) -> Result<SchedClassifierLink, ProbeError> {
    let options = if has_tcx {
        // First, since a program before us may redirect packets past us.
        TcAttachOptions::TcxOrder(LinkOrder::first())
    } else {
        // Fails where the discipline is there already, which is as good.
        drop(qdisc_add_clsact(&device.name));
        TcAttachOptions::Netlink(NlOptions::default())
    };
    let failed = |source| ProbeError::Program { program, source };
    let classifier = loaded(ebpf, program)?;
    let link = classifier
        .attach_with_options(&device.name, direction, options)
        .map_err(failed)?;
    classifier.take_link(link).map_err(failed)
}

/// A classifier, loaded when it is first asked for: most hosts have few of the kinds of devices,
/// and the verifier takes its time.
pub(super) fn loaded<'a>(
    ebpf: &'a mut Ebpf,
    program: &'static str,
) -> Result<&'a mut SchedClassifier, ProbeError> {
    let classifier: &mut SchedClassifier = program_mut(ebpf, program)?;
    if classifier.fd().is_err() {
        classifier
            .load()
            .map_err(|source| ProbeError::Program { program, source })?;
    }
    Ok(classifier)
}
