//! The tables: how they are made, and brought up to date; and the partitions of days.
//!
//! Whoever changes tables holds an advisory lock, so that several processes may start at once. A day's partitions are made beside the
//! tables and attached, which does not wait for those who read or write. The day is that of arrival, so that nothing a sender writes
//! decides when it is removed.

use crate::failure::Failure;
use tokio_postgres::Client;

/// The version of the tables. Each step of [`STEPS`] leads to the next.
const STEPS: [&str; 1] = [VERSION_1];

/// What takes partitions, with the column that they are by.
const TABLES: [(&str, &str); 5] =
    [("logs", "arrived"), ("spans", "arrived"), ("origins", "arrived"), ("counts", "arrived"), ("traces", "day")];

/// The number of our advisory locks, with one more for each use.
const LOCK: i32 = 0x4259_5753;

const VERSION_1: &str = "
CREATE SEQUENCE {s}.request_numbers INCREMENT BY 1024;
CREATE TABLE {s}.tenants (name text COLLATE \"C\" PRIMARY KEY);
CREATE TABLE {s}.requests (hash int8 PRIMARY KEY, number int8 NOT NULL, arrived timestamptz NOT NULL)
    WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX requests_arrived ON {s}.requests (arrived);
CREATE TABLE {s}.logs (
    arrived timestamptz NOT NULL, request int8 NOT NULL, record int4 NOT NULL, origin int4 NOT NULL,
    time timestamptz NOT NULL, nanos int2 NOT NULL, severity int2 NOT NULL,
    tenant text COLLATE \"C\" NOT NULL, service text COLLATE \"C\" NOT NULL, body text COLLATE \"C\" NOT NULL,
    trace bytea, span bytea, otlp bytea NOT NULL
) PARTITION BY RANGE (arrived);
CREATE TABLE {s}.spans (
    arrived timestamptz NOT NULL, request int8 NOT NULL, record int4 NOT NULL, origin int4 NOT NULL,
    time timestamptz NOT NULL, nanos int2 NOT NULL, severity int2 NOT NULL,
    tenant text COLLATE \"C\" NOT NULL, service text COLLATE \"C\" NOT NULL, name text COLLATE \"C\" NOT NULL,
    trace bytea, span bytea, otlp bytea NOT NULL, took int2 NOT NULL
) PARTITION BY RANGE (arrived);
CREATE INDEX logs_time ON {s}.logs USING brin (time) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX spans_time ON {s}.spans USING brin (time) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX logs_trace ON {s}.logs USING brin (trace bytea_bloom_ops) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX spans_trace ON {s}.spans USING brin (trace bytea_bloom_ops) WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE {s}.origins (
    arrived timestamptz NOT NULL, request int8 NOT NULL, origin int4 NOT NULL, tenant text COLLATE \"C\" NOT NULL,
    resource bytea NOT NULL, scope bytea NOT NULL, PRIMARY KEY (request, origin, arrived)
) PARTITION BY RANGE (arrived);
CREATE TABLE {s}.counts (
    arrived timestamptz NOT NULL, tenant text COLLATE \"C\" NOT NULL, signal int2 NOT NULL,
    service text COLLATE \"C\" NOT NULL, minute timestamptz NOT NULL, class int2 NOT NULL, records int8 NOT NULL
) PARTITION BY RANGE (arrived);
CREATE INDEX counts_minute ON {s}.counts (tenant, signal, minute);
CREATE TABLE {s}.traces (
    day date NOT NULL, tenant text COLLATE \"C\" NOT NULL, id bytea NOT NULL, start numeric NOT NULL, finish numeric NOT NULL,
    spans int8 NOT NULL, errors int8 NOT NULL, status int2 NOT NULL, head bytea NOT NULL, services bytea[] NOT NULL,
    PRIMARY KEY (tenant, id, day)
) PARTITION BY RANGE (day);
CREATE INDEX traces_start ON {s}.traces (tenant, start);
";

/// Makes what is not there, under a lock.
pub(crate) async fn migrate(client: &Client, schema: &str) -> Result<(), Failure> {
    client.batch_execute("BEGIN").await?;
    let done = migrate_within(client, schema).await;
    client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}

async fn migrate_within(client: &Client, schema: &str) -> Result<(), Failure> {
    client.execute("SELECT pg_advisory_xact_lock($1, 0)", &[&LOCK]).await?;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};
             CREATE TABLE IF NOT EXISTS {schema}.version (number int4 NOT NULL);"
        ))
        .await?;
    let row = client.query_opt(&format!("SELECT number FROM {schema}.version"), &[]).await?;
    let there = row.map_or(0, |row| row.get::<_, i32>(0));
    let ours = STEPS.len() as i32;
    if there > ours {
        let text = format!("the tables are of version {there}, this program knows {ours}: a newer one made them");
        return Err(Failure::Unfit(text));
    }
    for step in &STEPS[there.max(0) as usize..] {
        client.batch_execute(&step.replace("{s}", schema)).await?;
    }
    if there < ours {
        let text = format!("DELETE FROM {schema}.version; INSERT INTO {schema}.version VALUES ({ours})");
        client.batch_execute(&text).await?;
    }
    Ok(())
}

/// Makes the partitions of a day (days since the epoch), if they are not there.
pub(crate) async fn make_day(client: &Client, schema: &str, day: i64) -> Result<(), Failure> {
    let mut text = format!("BEGIN; SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock({LOCK}, 1);");
    text.push_str(&format!(
        "DO $do$ DECLARE day date := date '1970-01-01' + {day}; name text; BEGIN
            SET LOCAL timezone = 'UTC';"
    ));
    for (table, by) in TABLES {
        let (from, to) = match by {
            "day" => ("day::text", "(day + 1)::text"),
            _ => ("day::text || ' 00:00:00+00'", "(day + 1)::text || ' 00:00:00+00'"),
        };
        text.push_str(&format!(
            "name := '{table}_' || to_char(day, 'YYYYMMDD');
             IF to_regclass('{schema}.' || name) IS NULL THEN
                EXECUTE format('CREATE TABLE {schema}.%I (LIKE {schema}.{table} INCLUDING ALL) WITH (fillfactor = {fill})', name);
                EXECUTE format('ALTER TABLE {schema}.{table} ATTACH PARTITION {schema}.%I FOR VALUES FROM (%L) TO (%L)',
                               name, {from}, {to});
             END IF;",
            fill = if table == "traces" { 80 } else { 100 },
        ));
    }
    text.push_str("END $do$; COMMIT");
    let done = client.batch_execute(&text).await;
    if done.is_err() {
        client.batch_execute("ROLLBACK").await?;
    }
    Ok(done?)
}

/// The days that have partitions, days since the epoch, the oldest first, with the bytes of each.
pub(crate) async fn days(client: &Client, schema: &str) -> Result<Vec<(i64, u64)>, Failure> {
    let text = format!(
        "SELECT (to_date(right(c.relname, 8), 'YYYYMMDD') - date '1970-01-01')::int8,
                sum(pg_total_relation_size(c.oid))::int8
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
         WHERE p.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r' AND c.relname ~ '_[0-9]{{8}}$'
         GROUP BY 1 ORDER BY 1"
    );
    let rows = client.query(&text, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1).max(0) as u64)).collect())
}

/// Removes a day. False if another process is about it.
pub(crate) async fn drop_day(client: &Client, schema: &str, day: i64) -> Result<bool, Failure> {
    client.batch_execute("BEGIN; SET LOCAL lock_timeout = '2s'").await?;
    let done = drop_within(client, schema, day).await;
    client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}

async fn drop_within(client: &Client, schema: &str, day: i64) -> Result<bool, Failure> {
    let row = client.query_one("SELECT pg_try_advisory_xact_lock($1, 1)", &[&LOCK]).await?;
    if !row.get::<_, bool>(0) {
        return Ok(false);
    }
    let row = client.query_one("SELECT to_char(date '1970-01-01' + $1::int8::int4, 'YYYYMMDD')", &[&day]).await?;
    let suffix: String = row.get(0);
    for (table, _) in TABLES {
        client.batch_execute(&format!("DROP TABLE IF EXISTS {schema}.{table}_{suffix}")).await?;
    }
    Ok(true)
}

/// Removes everything of a tenant.
pub(crate) async fn delete_tenant(client: &Client, schema: &str, tenant: &str) -> Result<(), Failure> {
    client.batch_execute("BEGIN").await?;
    let done = async {
        for (table, _) in TABLES {
            client.execute(&format!("DELETE FROM {schema}.{table} WHERE tenant = $1"), &[&tenant]).await?;
        }
        client.execute(&format!("DELETE FROM {schema}.tenants WHERE name = $1"), &[&tenant]).await?;
        Ok(())
    };
    let done: Result<(), Failure> = done.await;
    client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}
