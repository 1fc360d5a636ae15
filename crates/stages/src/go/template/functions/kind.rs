//! sprig's questions about kinds and types.

use super::{group, text};
use crate::go::template::value::Val;

group! {
    "typeOf" => |a| text(a.exactly(1)?[0].type_name()),
    "typeIs" => |a| { a.exactly(2)?; Ok(Val::Bool(*a.text(0)? == a.get(1)?.type_name())) },
    "typeIsLike" => |a| {
        a.exactly(2)?;
        let name = a.str(0)?;
        Ok(Val::Bool(name.strip_prefix('*').unwrap_or(&name) == a.get(1)?.type_name()))
    },
    "kindOf" => |a| text(a.exactly(1)?[0].kind()),
    "kindIs" => |a| { a.exactly(2)?; Ok(Val::Bool(*a.text(0)? == a.get(1)?.kind())) },
}
