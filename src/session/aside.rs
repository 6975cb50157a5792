//! Work that would make other clients wait.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does work that may take long on this thread, while another one serves the sockets in its place:
/// reading and planning a statement can't be interrupted.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let can_move = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    match can_move {
        true => tokio::task::block_in_place(work),
        false => work(),
    }
}
