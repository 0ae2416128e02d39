/// How an accepted connection ended. Each ends as exactly one of these, so the counts add up to what was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its last request was answered in full, and then it was closed by either side.
    Answered,
    /// It had been answered before, and was closed by us after lying idle.
    Idle,
    /// It never sent a byte: closed by us after a time, or by the client.
    Silent,
    /// The client left in the middle of a request or of its response.
    ClientGone,
    /// Its last request was refused with a 4xx or 5xx of ours, because it was malformed, too large or too slow.
    Refused,
    /// It was handed on to another protocol.
    Upgraded,
    /// We cut it: at the deadline, at a quick stop, or because its worker died.
    Aborted,
}

impl Outcome {
    pub(crate) const ALL: [Self; 7] =
        [Self::Answered, Self::Idle, Self::Silent, Self::ClientGone, Self::Refused, Self::Upgraded, Self::Aborted];
}
