//! Reading back: the preserved logs and the table of attempts. Reads what `volume` wrote, from a volume, a log alone or
//! stdin; changes nothing.

mod error;
pub mod follow;
mod json;
pub mod logs;
mod records;
mod select;
pub mod table;

pub use error::HistoryError;
pub use records::{Entry, Records, State, run_ids};
pub use select::Selection;
