//! Reading back: `logs`, `history`, `diff`, `report`. Reads what `volume` wrote; changes nothing.

pub mod diff;
mod error;
mod filter;
pub mod follow;
mod json;
mod lines_out;
mod log_end;
pub mod logs;
mod records;
pub mod report;
mod row;
mod select;
mod shard;
mod state;
pub mod table;
mod times;

pub use self::error::HistoryError;
pub use self::filter::Filter;
pub use self::records::{Records, open, run_ids, several_logs};
pub use self::row::SCHEMA;
pub use self::select::{Selection, select};
