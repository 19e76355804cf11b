//! The values that the main phase works with, all made before it begins.

use crate::copy::control::Control;
use crate::copy::plan::known::Known;
use crate::copy::plan::scope::Scope;
use crate::copy::plan::stat_cache::StatCache;
use crate::copy::publish::pending::Pending;
use crate::copy::stage::stager::Stager;
use crate::copy::tree::roots::Roots;
use crate::copy::walk::blocks::Blocks;
use crate::copy::walk::hard_links::HardLinks;
use crate::copy::walk::queue::Queue;

pub(crate) struct Walk<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) scope: &'a Scope,
    pub(crate) known: &'a Known<'a>,
    pub(crate) control: &'a Control<'a>,
    pub(crate) stager: &'a Stager<'a>,
    /// The records of the new manifest.
    pub(crate) blocks: &'a Blocks<'a>,
    /// What is published afterwards.
    pub(crate) pending: &'a Pending,
    pub(crate) queue: &'a Queue,
    pub(crate) links: &'a HardLinks,
    /// What the space estimate saw of the source.
    pub(crate) seen: &'a StatCache,
}
