//! What can be wrong with an answer. A fault is never a value.

/// Why a read brought nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Fault {
    /// There is no connection, and none could be made.
    #[error("no connection")]
    NoConnection,
    /// The connection ended before the answer was complete.
    #[error("the connection was closed")]
    Closed,
    /// No complete answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The device refused the request with this exception code.
    #[error("refused with exception {0}")]
    Refused(u8),
    /// A gateway could not reach the device (exception 10 or 11): silence, politely told.
    #[error("not reachable behind its gateway, exception {0}")]
    Unreachable(u8),
    /// Fewer values than were asked for.
    #[error("a short answer")]
    ShortAnswer,
    /// More values or bytes than were asked for.
    #[error("a long answer")]
    LongAnswer,
    /// The answer of another unit.
    #[error("an answer of another unit")]
    WrongUnit,
    /// The answer to another request.
    #[error("an answer to another request")]
    WrongTransaction,
    /// The answer to another function.
    #[error("an answer of another function")]
    WrongFunction,
    /// Bytes that are no answer at all.
    #[error("garbage")]
    Garbage,
}

impl Fault {
    /// The stable name, a label of the metrics.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::NoConnection => "no_connection",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Refused(_) => "exception",
            Self::Unreachable(_) => "unreachable",
            Self::ShortAnswer => "short_answer",
            Self::LongAnswer => "long_answer",
            Self::WrongUnit => "wrong_unit",
            Self::WrongTransaction => "wrong_transaction",
            Self::WrongFunction => "wrong_function",
            Self::Garbage => "garbage",
        }
    }

    /// The number of the exception, when it is one.
    pub(crate) fn exception(self) -> Option<u8> {
        match self {
            Self::Refused(code) | Self::Unreachable(code) => Some(code),
            Self::NoConnection
            | Self::Closed
            | Self::Timeout
            | Self::ShortAnswer
            | Self::LongAnswer
            | Self::WrongUnit
            | Self::WrongTransaction
            | Self::WrongFunction
            | Self::Garbage => None,
        }
    }

    /// Whether the stream is still in step, so that the connection may be used on.
    pub(crate) fn keeps_connection(self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unreachable(_))
    }

    /// Whether something came that is not the answer.
    pub(crate) fn is_bad_answer(self) -> bool {
        match self {
            Self::ShortAnswer
            | Self::LongAnswer
            | Self::WrongUnit
            | Self::WrongTransaction
            | Self::WrongFunction
            | Self::Garbage => true,
            Self::NoConnection
            | Self::Closed
            | Self::Timeout
            | Self::Refused(_)
            | Self::Unreachable(_) => false,
        }
    }
}
