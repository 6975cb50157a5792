//! Window functions.

use datafusion::logical_expr::Window;

use super::block::Block;
use super::nodes::Generator;
use super::{NotPushable, Result};

impl Generator<'_> {
    pub(crate) fn window(&mut self, _window: &Window, _asked: &[bool]) -> Result<Block> {
        Err(NotPushable::new("window functions"))
    }
}
