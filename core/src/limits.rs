//! Every limit of the engine, by name. The engine checks them before a store
//! sees anything; going over one is [`ErrorKind::Invalid`](crate::ErrorKind),
//! with the limit and the actual size, and the transaction stays usable.

/// The longest key, in bytes (16 KiB). The shortest is 1 byte.
///
/// Stores escape keys and add a timestamp to them; this leaves room for both
/// within the 65,535 bytes that fjall takes.
pub const MAX_KEY_LEN: usize = 16 * 1024;

/// The longest value, in bytes (64 MiB). The shortest is empty.
pub const MAX_VALUE_LEN: usize = 64 * 1024 * 1024;

/// The most bytes of keys and values that one transaction may write, and of bounds that
/// it declares as written (1 GiB), unless
/// [`Options::max_txn_bytes`](crate::Options) sets a lower limit.
pub const MAX_TXN_BYTES: usize = 1024 * 1024 * 1024;

/// The most bytes of message and author together that a version may carry
/// (1 MiB).
pub const MAX_METADATA_LEN: usize = 1024 * 1024;
