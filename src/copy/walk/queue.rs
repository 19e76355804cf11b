//! The tasks of the main phase and the workers that run them.

use std::sync::{Arc, Mutex};

use crate::copy::io::handles;
use crate::copy::io::pool::Pool;
use crate::copy::io::readahead::Spare;
use crate::copy::report::Report;
use crate::copy::tree::node::Node;
use crate::copy::tree::worker::{Task, Worker};
use crate::support::mutex;

pub(crate) struct Queue {
    pub(crate) pool: Pool<Task>,
    /// Pieces: directories below shared ones that are this copy's with everything in them, with their weight.
    pieces: Mutex<Vec<(u64, Arc<Node>)>>,
    pub(crate) workers: usize,
    /// How many directories may be kept open.
    pub(crate) budget: usize,
    /// Spare descriptors for read-ahead.
    pub(crate) spare: Spare,
}

impl Queue {
    /// For at most this many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            pool: Pool::new(Vec::new()),
            pieces: Mutex::default(),
            workers,
            budget: handles::budget(),
            spare: Spare::beside(workers),
        }
    }

    /// One state per worker, with reports of the same limits.
    pub(crate) fn worker_states(&self, report: &Report) -> Vec<Worker> {
        (0..self.workers).map(|_| Worker::reporting_as(report)).collect()
    }

    /// Puts a piece off until all shared directories are known.
    pub(crate) fn put_off(&self, weight: u64, piece: Node) {
        mutex::lock(&self.pieces).push((weight, Arc::new(piece)));
    }

    /// The pieces, the heaviest last: it is taken first, so that only small ones are left at the end.
    pub(crate) fn take_pieces(&self) -> Vec<Arc<Node>> {
        let mut pieces = std::mem::take(&mut *mutex::lock(&self.pieces));
        pieces.sort_by_key(|(weight, _)| *weight);
        pieces.into_iter().map(|(_, node)| node).collect()
    }
}
