-- What a cluster has and PostgreSQL has not. The stand-in runs this once in a new database.
CREATE SCHEMA redshift_standin;
GRANT USAGE ON SCHEMA redshift_standin TO public;
CREATE SEQUENCE redshift_standin.query_id START 100;

CREATE TABLE redshift_standin.load_errors (
    userid integer, tbl integer, starttime timestamp, session integer, query bigint, xid bigint,
    filename text, line_number bigint, colname text, type text, col_length text, position integer,
    raw_line text, raw_field_value text, err_code integer, err_reason text
);
CREATE TABLE redshift_standin.loads (
    userid integer, query bigint, session integer, table_name text, status text,
    start_time timestamp, end_time timestamp, data_source text, loaded_rows bigint,
    error_count bigint, error_message text
);
CREATE TABLE redshift_standin.table_attributes (
    table_id oid PRIMARY KEY, diststyle text, distkey text, sortkey text[], encodings jsonb
);
GRANT SELECT ON redshift_standin.table_attributes TO public;

CREATE DOMAIN pg_catalog.super AS jsonb;

CREATE FUNCTION redshift_standin.sees(owner integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT owner = (SELECT usesysid::integer FROM pg_user WHERE usename = current_user)
        OR pg_has_role(current_user, (SELECT datdba FROM pg_database
                                      WHERE datname = current_database()), 'member')
$$;

CREATE VIEW pg_catalog.stl_load_errors AS
    SELECT userid, 0 AS slice, tbl, starttime, session, query::integer AS query,
        filename::char(256) AS filename, line_number, colname::char(127) AS colname,
        type::char(10) AS type, col_length::char(10) AS col_length, position,
        raw_line::char(1024) AS raw_line, raw_field_value::char(1024) AS raw_field_value,
        err_code, err_reason::char(100) AS err_reason, 0 AS is_partial, 0::bigint AS start_offset
    FROM redshift_standin.load_errors WHERE redshift_standin.sees(userid);
CREATE VIEW pg_catalog.stl_loaderror_detail AS
    SELECT userid, 0 AS slice, session, query::integer AS query, filename::char(256) AS filename,
        line_number, 0 AS field, colname::char(1024) AS colname,
        raw_field_value::char(1024) AS value, 0 AS is_null, type::char(10) AS type,
        col_length::char(10) AS col_length
    FROM redshift_standin.load_errors WHERE redshift_standin.sees(userid);
CREATE VIEW pg_catalog.sys_load_error_detail AS
    SELECT userid AS user_id, query AS query_id, xid AS transaction_id, session AS session_id,
        current_database()::char(64) AS database_name, tbl AS table_id, starttime AS start_time,
        filename::char(256) AS file_name, line_number, colname::char(127) AS column_name,
        type::char(10) AS column_type, col_length::char(10) AS column_length, position,
        err_code AS error_code, err_reason::char(512) AS error_message
    FROM redshift_standin.load_errors WHERE redshift_standin.sees(userid);
CREATE VIEW pg_catalog.sys_load_history AS
    SELECT userid AS user_id, query AS query_id, session AS session_id,
        current_database() AS database_name, status, table_name, start_time, end_time,
        data_source, loaded_rows, error_count, error_message
    FROM redshift_standin.loads WHERE redshift_standin.sees(userid);

CREATE VIEW pg_catalog.pg_table_def AS
    SELECT n.nspname AS schemaname, c.relname AS tablename, a.attname AS "column",
        format_type(a.atttypid, a.atttypmod) AS type,
        coalesce(t.encodings ->> a.attname, 'none')::char(32) AS encoding,
        coalesce(t.distkey = a.attname, false) AS distkey,
        coalesce(array_position(t.sortkey, a.attname::text), 0) AS sortkey,
        a.attnotnull AS "notnull"
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN redshift_standin.table_attributes t ON t.table_id = c.oid
    WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (current_schemas(true));
CREATE VIEW pg_catalog.svv_table_info AS
    SELECT current_database() AS database, n.nspname AS schema, c.oid AS table_id,
        c.relname AS "table", 'Y'::text AS encoded,
        CASE WHEN t.distkey <> '' THEN 'KEY(' || t.distkey || ')'
             WHEN t.diststyle IN ('EVEN', 'ALL') THEN t.diststyle
             ELSE 'AUTO(ALL)' END AS diststyle,
        coalesce(t.sortkey[1], 'AUTO(SORTKEY)') AS sortkey1,
        coalesce(cardinality(t.sortkey), 0) AS sortkey_num,
        greatest(pg_relation_size(c.oid) / 1048576, 1) AS size,
        greatest(c.reltuples, 0)::numeric(38, 0) AS tbl_rows
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN redshift_standin.table_attributes t ON t.table_id = c.oid
    WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\_%'
        AND n.nspname NOT IN ('information_schema', 'redshift_standin');
CREATE VIEW pg_catalog.svv_columns AS
    SELECT table_catalog, table_schema, table_name, column_name, ordinal_position, column_default,
        is_nullable, data_type, character_maximum_length, numeric_precision,
        numeric_precision_radix, numeric_scale, datetime_precision, NULL::text AS remarks
    FROM information_schema.columns WHERE table_schema <> 'redshift_standin';
CREATE VIEW pg_catalog.stv_db_isolation_level AS
    SELECT datname AS db_name,
        CASE current_setting('redshift.isolation') WHEN 'snapshot' THEN 'Snapshot Isolation'
             ELSE 'Serializable' END AS isolation_level
    FROM pg_database WHERE NOT datistemplate;
CREATE VIEW pg_catalog.svv_roles AS
    SELECT oid AS role_id, rolname AS role_name FROM pg_roles WHERE NOT rolcanlogin;
CREATE VIEW pg_catalog.svv_transactions AS
    SELECT a.usename AS txn_owner, a.datname AS txn_db, 0::bigint AS xid, l.pid,
        a.xact_start AT TIME ZONE 'UTC' AS txn_start, l.mode AS lock_mode,
        l.locktype AS lockable_object_type, l.relation::integer AS relation, l.granted
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE a.datname = current_database() AND l.locktype IN ('relation', 'transactionid');
GRANT SELECT ON svv_transactions, stl_load_errors, stl_loaderror_detail, sys_load_error_detail, sys_load_history,
    pg_table_def, svv_table_info, svv_columns, svv_roles, stv_db_isolation_level TO public;

CREATE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE AS
    $$ SELECT date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC') $$;
CREATE FUNCTION pg_catalog.sysdate() RETURNS timestamp LANGUAGE sql STABLE AS
    $$ SELECT transaction_timestamp() AT TIME ZONE 'UTC' $$;
CREATE FUNCTION pg_catalog.len(text) RETURNS integer LANGUAGE sql IMMUTABLE AS
    $$ SELECT length($1) $$;
CREATE FUNCTION pg_catalog.from_hex(text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
    $$ SELECT decode($1, 'hex') $$;
CREATE FUNCTION pg_catalog.to_hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT encode($1, 'hex') $$;
CREATE FUNCTION pg_catalog.strtol(text, integer) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT CASE $2 WHEN 16 THEN ('x' || lpad($1, 16, '0'))::bit(64)::bigint
                      WHEN 10 THEN $1::bigint END $$;
CREATE FUNCTION pg_catalog.nvl(anyelement, anyelement) RETURNS anyelement LANGUAGE sql IMMUTABLE AS
    $$ SELECT coalesce($1, $2) $$;
-- The proxy sets these two before a statement that asks for them.
CREATE FUNCTION pg_catalog.pg_last_copy_count() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(current_setting('redshift.last_copy_count', true), ''), '0')::bigint $$;
CREATE FUNCTION pg_catalog.pg_last_copy_id() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(current_setting('redshift.last_copy_id', true), ''), '-1')::bigint $$;
CREATE FUNCTION pg_catalog.pg_last_unload_count() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(current_setting('redshift.last_unload_count', true), ''), '0')::bigint $$;
CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 '
        || '(Red Hat 3.4.2-6.fc3), Redshift 1.0.0 (stand-in)' $$;

-- Late-binding views: their text is their comment, after the words below.
CREATE FUNCTION redshift_standin.columns_of(relation oid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = relation AND attnum > 0
$$;
CREATE FUNCTION redshift_standin.note_late_view(
    name text, query text, owner regrole, rights aclitem[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET standard_conforming_strings = on AS $$
BEGIN
    EXECUTE format('COMMENT ON VIEW %s IS %L', name, 'late-binding: ' || query);
    EXECUTE format('ALTER VIEW %s OWNER TO %s', name, owner);
    UPDATE pg_class SET relacl = rights WHERE oid = to_regclass(name);
END $$;
CREATE TABLE redshift_standin.view_comments (name text, comment text);
GRANT SELECT ON redshift_standin.view_comments TO public;
CREATE FUNCTION redshift_standin.comment_late_view(name text, comment text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN  -- of a late-binding view beside it, since its text is its comment here
    DELETE FROM redshift_standin.view_comments v WHERE v.name = $1;
    INSERT INTO redshift_standin.view_comments VALUES ($1, $2);
END $$;
CREATE FUNCTION redshift_standin.create_late_view(name text, query text, replaces boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    old oid := to_regclass(name);
    owner regrole := current_user::regrole;
    rights aclitem[];
    kept text;
BEGIN
    IF old IS NOT NULL THEN
        IF NOT replaces THEN
            RAISE duplicate_table USING MESSAGE = format('relation %s already exists', name);
        END IF;
        SELECT relowner, relacl INTO owner, rights FROM pg_class WHERE oid = old;
        IF NOT FOUND THEN  -- another session replaced it meanwhile
            RAISE undefined_table USING MESSAGE = format('could not open relation with OID %s', old);
        END IF;
        IF coalesce(obj_description(old, 'pg_class'), '') NOT LIKE 'late-binding: %' THEN
            kept := redshift_standin.columns_of(old);  -- a bound view's columns cannot change
        END IF;
        EXECUTE format('DROP VIEW %s', name);
    END IF;
    EXECUTE format('CREATE VIEW %s AS %s', name, query);
    IF kept <> redshift_standin.columns_of(to_regclass(name)) THEN
        RAISE invalid_table_definition USING MESSAGE = 'cannot change the columns of a view';
    END IF;
    PERFORM redshift_standin.note_late_view(name, query, owner, rights);
END $$;
CREATE FUNCTION redshift_standin.take_late_views_away() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    view record;
    taken jsonb := '[]';
BEGIN
    FOR view IN
        SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relowner::regrole::text AS owner,
            c.relacl::text[] AS rights, substr(d.description, 15) AS query
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = 0
            AND d.classoid = 'pg_class'::regclass
        WHERE c.relkind = 'v' AND d.description LIKE 'late-binding: %' ORDER BY c.oid
    LOOP
        taken := taken || to_jsonb(view);
        EXECUTE format('DROP VIEW IF EXISTS %s CASCADE', view.name);
    END LOOP;
    PERFORM set_config('redshift_standin.late_views', taken::text, true);
END $$;
CREATE FUNCTION redshift_standin.bring_late_views_back() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    view record;
BEGIN
    FOR view IN
        SELECT * FROM jsonb_to_recordset(current_setting('redshift_standin.late_views')::jsonb)
            AS v(name text, owner text, rights text[], query text)
    LOOP
        BEGIN
            EXECUTE format('CREATE VIEW %s AS %s', view.name, view.query);
            PERFORM redshift_standin.note_late_view(
                view.name, view.query, view.owner::regrole, view.rights::aclitem[]
            );
        EXCEPTION WHEN undefined_table OR undefined_column THEN
            NULL;  -- on a cluster it would stay, and fail when it is read
        END;
    END LOOP;
    PERFORM set_config('redshift_standin.late_views', '[]', true);
END $$;
CREATE FUNCTION redshift_standin.forget_late_view() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_type = 'view' LOOP
        EXECUTE format('COMMENT ON VIEW %s IS NULL', made.object_identity);
    END LOOP;
END $$;
CREATE EVENT TRIGGER forget_late_view ON ddl_command_end WHEN TAG IN ('CREATE VIEW')
    EXECUTE FUNCTION redshift_standin.forget_late_view();  -- `note_late_view` comes after it
CREATE EVENT TRIGGER take_late_views_away ON ddl_command_start
    WHEN TAG IN ('ALTER TABLE', 'DROP TABLE')
    EXECUTE FUNCTION redshift_standin.take_late_views_away();
CREATE EVENT TRIGGER bring_late_views_back ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'DROP TABLE')
    EXECUTE FUNCTION redshift_standin.bring_late_views_back();
