//! `geoip`: where an address is, from a MaxMind database, as extracted values `geoip_*`.
//!
//! Needs the crate's `geoip` feature; without it the stage is refused when the pipeline is built. The database is opened then,
//! and read into memory. A missing or invalid address, or one that is not in the database, leaves the entry.

use super::Stage;
use crate::config::{ConfigError, read};
use crate::go::jmespath::Expression;
use crate::pipeline::Builder;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    db: String,
    source: Option<String>,
    #[serde(default)]
    db_type: String,
    #[serde(default)]
    custom_lookups: BTreeMap<String, String>,
}

pub(super) fn build(
    value: &serde_json::Value,
    path: &str,
    builder: &mut Builder,
) -> Result<Box<dyn Stage>, ConfigError> {
    let config: Config = read(value, path, builder)?;
    if config.db.is_empty() {
        return Err(ConfigError::at(path, "db", "the path of a database is required"));
    }
    let Some(source) = config.source.filter(|source| !source.is_empty()) else {
        return Err(ConfigError::at(path, "source", "the source of the address is required"));
    };
    match config.db_type.as_str() {
        "" if config.custom_lookups.is_empty() => {
            return Err(ConfigError::at(path, "db_type", "db_type or custom_lookups are required"));
        }
        "" | "asn" | "city" | "country" => {}
        other => {
            return Err(ConfigError::at(path, "db_type", format!("must be asn, city or country, not \"{other}\"")));
        }
    }
    let mut lookups = Vec::new();
    for (name, expression) in &config.custom_lookups {
        let expression = if expression.is_empty() { name } else { expression };
        let compiled =
            Expression::new(expression).map_err(|e| ConfigError::at(path, &format!("custom_lookups.{name}"), e))?;
        lookups.push((builder.symbol(name, path)?, compiled));
    }
    database::open(&config.db, &config.db_type, builder.symbol(&source, path)?, lookups, path)
}

#[cfg(not(feature = "geoip"))]
mod database {
    use super::{ConfigError, Expression, Stage};
    use crate::entry::Symbol;

    pub fn open(
        _: &str,
        _: &str,
        _: Symbol,
        _: Vec<(Symbol, Expression)>,
        path: &str,
    ) -> Result<Box<dyn Stage>, ConfigError> {
        Err(ConfigError::new(path, "this program was built without the geoip feature"))
    }
}

#[cfg(feature = "geoip")]
mod database {
    use super::super::Verdict;
    use super::{ConfigError, Expression, Stage};
    use crate::entry::{Entry, Symbol, Value};
    use crate::go::jmespath::Document;
    use crate::pipeline::Context;
    use crate::text::Text;
    use maxminddb::Reader;
    use serde_json::Value as Tree;

    struct GeoIp {
        reader: Reader<Vec<u8>>,
        source: Symbol,
        fields: &'static [(&'static str, &'static str)],
        lookups: Vec<(Symbol, Expression)>,
    }

    /// Extracted name, and where the record has its value. `-1` is the last element: the most specific subdivision.
    const CITY: &[(&str, &str)] = &[
        ("geoip_city_name", "/city/names/en"),
        ("geoip_country_name", "/country/names/en"),
        ("geoip_country_code", "/country/iso_code"),
        ("geoip_continent_name", "/continent/names/en"),
        ("geoip_continent_code", "/continent/code"),
        ("geoip_location_latitude", "/location/latitude"),
        ("geoip_location_longitude", "/location/longitude"),
        ("geoip_postal_code", "/postal/code"),
        ("geoip_timezone", "/location/time_zone"),
        ("geoip_subdivision_name", "/subdivisions/-1/names/en"),
        ("geoip_subdivision_code", "/subdivisions/-1/iso_code"),
    ];
    const COUNTRY: &[(&str, &str)] = &[
        ("geoip_country_name", "/country/names/en"),
        ("geoip_country_code", "/country/iso_code"),
        ("geoip_continent_name", "/continent/names/en"),
        ("geoip_continent_code", "/continent/code"),
    ];
    const ASN: &[(&str, &str)] = &[
        ("geoip_autonomous_system_number", "/autonomous_system_number"),
        ("geoip_autonomous_system_organization", "/autonomous_system_organization"),
    ];

    pub fn open(
        db: &str,
        kind: &str,
        source: Symbol,
        lookups: Vec<(Symbol, Expression)>,
        path: &str,
    ) -> Result<Box<dyn Stage>, ConfigError> {
        let reader = Reader::open_readfile(db).map_err(|e| ConfigError::at(path, "db", format!("{db}: {e}")))?;
        let fields = match kind {
            "city" => CITY,
            "country" => COUNTRY,
            "asn" => ASN,
            _ => &[],
        };
        Ok(Box::new(GeoIp { reader, source, fields, lookups }))
    }

    fn last_subdivision<'a>(record: &'a Tree, pointer: &str) -> Option<&'a Tree> {
        match pointer.strip_prefix("/subdivisions/-1") {
            Some(rest) => record.get("subdivisions")?.as_array()?.last()?.pointer(rest),
            None => record.pointer(pointer),
        }
    }

    impl Stage for GeoIp {
        fn apply(&self, entry: &mut Entry, _: &mut Context<'_>) -> Verdict {
            let Some(text) = entry.extracted.get_text(self.source) else { return Verdict::Keep };
            let Some(address) = text.as_str().and_then(|text| text.parse().ok()) else { return Verdict::Keep };
            let found = self.reader.lookup(address).and_then(|found| found.decode::<Tree>());
            let Ok(Some(record)) = found else { return Verdict::Keep };
            let zero = |key: &str| record.pointer(key).and_then(Tree::as_f64).unwrap_or(0.0) == 0.0;
            let nowhere = zero("/location/latitude") && zero("/location/longitude");
            for (name, pointer) in self.fields {
                let value = match last_subdivision(&record, pointer) {
                    Some(Tree::String(text)) if !text.is_empty() => Value::Text(text.as_str().into()),
                    Some(Tree::Number(number)) if !(nowhere && name.starts_with("geoip_location")) => {
                        Value::Number(number.as_f64().unwrap_or_default())
                    }
                    _ => continue,
                };
                entry.extracted.set_named(Text::from_static(name), value);
            }
            if !self.lookups.is_empty() {
                let document = Document::new(record);
                for (symbol, expression) in &self.lookups {
                    if let Some(value) = expression.search(&document).filter(|value| *value != Value::Null) {
                        entry.extracted.set(*symbol, value);
                    }
                }
            }
            Verdict::Keep
        }
    }
}
