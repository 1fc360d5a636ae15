//! The shop of the demonstration, as tables: what each service does when somebody visits, what it says of it, and what goes wrong.
//!
//! Texts name `{order}`, `{user}`, `{sku}`, `{amount}`, `{n}` and `{ms}`, which stand for what the visit is about.

/// What a service does, with what it calls, one after the other.
pub struct Step {
    /// Who.
    pub service: &'static str,
    /// What.
    pub name: &'static str,
    /// `SpanKind`.
    pub kind: u32,
    /// Tenths of milliseconds of its own, from and to.
    pub takes: (u64, u64),
    /// Attributes of its span.
    pub attributes: &'static [(&'static str, &'static str)],
    /// What it says.
    pub says: &'static [Line],
    /// What may go wrong.
    pub fault: Option<Fault>,
    /// What it calls.
    pub calls: &'static [Step],
}

/// A log record.
#[derive(Clone, Copy)]
pub struct Line {
    /// As in OTLP.
    pub severity: u32,
    /// The text.
    pub text: &'static str,
}

/// What goes wrong now and then.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Once in so many times.
    pub one_in: u32,
    /// It takes so many times longer; 0: it fails.
    pub slower: u64,
    /// What is said then.
    pub line: Line,
}

const SERVER: u32 = 2;
const CLIENT: u32 = 3;

const fn debug(text: &'static str) -> Line {
    Line { severity: 5, text }
}

const fn info(text: &'static str) -> Line {
    Line { severity: 9, text }
}

const fn warn(text: &'static str) -> Line {
    Line { severity: 13, text }
}

const fn error(text: &'static str) -> Line {
    Line { severity: 17, text }
}

/// The text of a severity.
pub fn severity(number: u32) -> &'static str {
    match number {
        ..9 => "DEBUG",
        9..13 => "INFO",
        13..17 => "WARN",
        _ => "ERROR",
    }
}

/// What is said by who called somebody that failed.
pub const CALL_FAILED: Line = error("request failed after {ms} ms: a call downstream returned an error");

/// What is sold.
pub const GOODS: [&str; 8] =
    ["teapot-green", "mug-tall", "kettle-1l", "sieve-fine", "tray-oak", "spoon-long", "cup-blue", "filter-100"];

const fn step(service: &'static str, name: &'static str, kind: u32, takes: (u64, u64)) -> Step {
    Step { service, name, kind, takes, attributes: &[], says: &[], fault: None, calls: &[] }
}

const CATALOG_QUERY: Step = Step {
    attributes: &[("db.system", "postgresql"), ("db.statement", "SELECT * FROM goods WHERE sku = $1")],
    fault: Some(Fault { one_in: 30, slower: 12, line: warn("slow query on goods: {ms} ms") }),
    ..step("catalog", "SELECT goods", CLIENT, (12, 60))
};
const CATALOG: Step = Step {
    attributes: &[("rpc.system", "grpc"), ("rpc.method", "GetProduct")],
    says: &[debug("cache miss for {sku}")],
    calls: &[CATALOG_QUERY],
    ..step("catalog", "catalog.GetProduct", SERVER, (8, 30))
};
const RECOMMEND: Step = Step {
    attributes: &[("rpc.system", "grpc")],
    says: &[info("{n} goods recommended beside {sku}")],
    fault: Some(Fault { one_in: 60, slower: 0, line: error("model not loaded: out of memory in shard 2") }),
    ..step("recommendation", "recommendation.List", SERVER, (40, 160))
};
const CART_STORE: Step = Step { attributes: &[("db.system", "redis")], ..step("cart", "HSET cart", CLIENT, (4, 18)) };
const CART_ADD: Step = Step {
    attributes: &[("rpc.system", "grpc"), ("rpc.method", "AddItem")],
    says: &[info("{n} x {sku} added to the cart of {user}")],
    fault: Some(Fault { one_in: 45, slower: 9, line: warn("redis answered after {ms} ms, pool is at 48 of 50") }),
    calls: &[CART_STORE],
    ..step("cart", "cart.AddItem", SERVER, (6, 24))
};
const CART_GET: Step = Step {
    attributes: &[("rpc.system", "grpc"), ("rpc.method", "GetCart")],
    says: &[debug("cart of {user} has {n} items")],
    ..step("cart", "cart.GetCart", SERVER, (6, 20))
};
const GATEWAY: Step = Step {
    attributes: &[("http.request.method", "POST"), ("server.address", "gateway.example")],
    fault: Some(Fault { one_in: 18, slower: 14, line: warn("card gateway answered after {ms} ms") }),
    ..step("payment", "POST /charges", CLIENT, (300, 900))
};
const PAYMENT: Step = Step {
    attributes: &[("rpc.system", "grpc"), ("rpc.method", "Charge")],
    says: &[info("charging {amount} EUR for order {order}")],
    fault: Some(Fault { one_in: 14, slower: 0, line: error("card declined for order {order}: insufficient funds") }),
    calls: &[GATEWAY],
    ..step("payment", "payment.Charge", SERVER, (20, 80))
};
const SHIPPING: Step = Step {
    attributes: &[("rpc.system", "grpc"), ("rpc.method", "Quote")],
    says: &[info("order {order}: parcel of {n} items, two days")],
    ..step("shipping", "shipping.Ship", SERVER, (60, 240))
};
const EMAIL: Step = Step {
    attributes: &[("messaging.system", "smtp")],
    says: &[info("confirmation of {order} sent to {user}")],
    fault: Some(Fault { one_in: 35, slower: 6, line: warn("mail relay busy, sent on the second try after {ms} ms") }),
    ..step("email", "email.SendConfirmation", SERVER, (80, 300))
};
const CHECKOUT: Step = Step {
    attributes: &[("rpc.system", "grpc"), ("rpc.method", "PlaceOrder")],
    says: &[info("order {order} of {user}: {amount} EUR")],
    calls: &[CART_GET, CATALOG, PAYMENT, SHIPPING, EMAIL],
    ..step("checkout", "checkout.PlaceOrder", SERVER, (30, 120))
};

const HOME: Step = Step {
    attributes: &[("http.request.method", "GET"), ("http.route", "/")],
    says: &[info("GET / 200")],
    calls: &[CATALOG, RECOMMEND],
    ..step("frontend", "GET /", SERVER, (20, 90))
};
const PRODUCT: Step = Step {
    attributes: &[("http.request.method", "GET"), ("http.route", "/product/{id}")],
    says: &[info("GET /product/{sku} 200")],
    calls: &[CATALOG, RECOMMEND],
    ..step("frontend", "GET /product/{id}", SERVER, (20, 80))
};
const ADD: Step = Step {
    attributes: &[("http.request.method", "POST"), ("http.route", "/cart")],
    says: &[info("POST /cart 200")],
    calls: &[CATALOG, CART_ADD],
    ..step("frontend", "POST /cart", SERVER, (15, 60))
};
const BUY: Step = Step {
    attributes: &[("http.request.method", "POST"), ("http.route", "/checkout")],
    says: &[info("POST /checkout for {user}")],
    calls: &[CHECKOUT],
    ..step("frontend", "POST /checkout", SERVER, (25, 100))
};

/// What people do, with how often.
pub static VISITS: [(u32, &Step); 4] = [(4, &HOME), (5, &PRODUCT), (3, &ADD), (2, &BUY)];
