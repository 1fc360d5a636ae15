//! `filter` and `router`: which records go on, and where.

use super::{Find, Then};
use crate::expr::Expr;
use crate::keys::Keys;
use crate::record::Record;

/// `filter`: what the expression holds for ends here, or a part of it.
pub struct Filter {
    expr: Expr,
    /// 0 to 1.
    ratio: f64,
    /// What is owed to the ratio.
    owed: f64,
}

impl Filter {
    pub fn new(keys: &Keys<'_>) -> Option<Filter> {
        if keys.value("expr").is_none() {
            keys.required("expr");
        }
        let expr = keys.condition("expr");
        let ratio = keys.value("drop_ratio").map_or(Some(1.0), serde_json::Value::as_f64);
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        if ratio.is_none() {
            keys.wrong("drop_ratio", "`drop_ratio` must be a number from 0 to 1");
        }
        Some(Filter { expr: expr?, ratio: ratio?, owed: 0.0 })
    }

    pub fn apply(&mut self, record: &Record) -> Result<Then, String> {
        if !self.expr.holds(record)? {
            return Ok(Then::Next);
        }
        self.owed += self.ratio;
        if self.owed < 1.0 - 1e-9 {
            return Ok(Then::Next);
        }
        self.owed -= 1.0;
        Ok(Then::Over)
    }
}

/// `router`: the first route whose expression holds is taken, else the default; without one a record ends here.
pub struct Router {
    routes: Vec<(Expr, usize)>,
    default: Option<usize>,
}

impl Router {
    pub fn new(keys: &Keys<'_>, find: &Find<'_>) -> Option<Router> {
        let list = keys.value("routes").and_then(serde_json::Value::as_array);
        let blocks = list.map(|list| keys.blocks("routes", list)).unwrap_or_default();
        if blocks.is_empty() {
            keys.wrong("routes", "`routes` must be a list of at least one block with `expr` and `output`");
        }
        let wanted = blocks.len();
        let mut routes = vec![];
        for block in blocks {
            if block.value("expr").is_none() {
                block.required("expr");
            }
            let expr = block.condition("expr");
            let output = block.required("output");
            let output = output.and_then(|name| find(&name).map_err(|why| block.wrong("output", why)).ok());
            routes.extend(expr.zip(output));
            block.done();
        }
        let default = match keys.text("default") {
            None => None,
            Some(name) => Some(find(&name).map_err(|why| keys.wrong("default", why)).ok()?),
        };
        (wanted > 0 && routes.len() == wanted).then_some(Router { routes, default })
    }

    pub fn apply(&self, record: &Record) -> Result<Then, String> {
        for (expr, to) in &self.routes {
            if expr.holds(record)? {
                return Ok(Then::To(*to));
            }
        }
        Ok(self.default.map_or(Then::Over, Then::To))
    }
}
