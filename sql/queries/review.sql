-- What `millrace review` reads: the catalogue of our two schemas, told in words that do not depend on the server's
-- version. Every statement gives `name`, which is the object as SQL writes it, and is meant to be run with an empty
-- search_path, so that Postgres qualifies whatever it deparses.

-- name: server
-- Who asks whom.
select
    current_database() as database,
    current_user as role,
    current_setting('server_version') as version,
    exists (select from pg_available_extensions where name = 'vector') as vector_available,
    (select nspowner::regrole::text from pg_namespace where nspname = 'millrace') as owner;

-- name: schemas
-- The schemas that are ours.
select quote_ident(nspname) as name
from pg_namespace
where nspname = any(%(schemas)s);

-- name: extensions
-- Extensions; where one is differs between projects.
select quote_ident(extname) as name
from pg_extension
where extname = any(%(extensions)s);

-- name: roles
-- The roles that row-level security and grants speak of, and what they may beyond that.
select
    quote_ident(role.rolname) as name,
    role.rolsuper as superuser,
    role.rolcreaterole as createrole,
    role.rolcreatedb as createdb,
    role.rolreplication as replication,
    role.rolbypassrls as bypassrls,
    role.rolconfig as settings,
    (
        select array_agg(quote_ident(upper.rolname) order by upper.rolname)
        from pg_auth_members as membership
        join pg_roles as upper on upper.oid = membership.roleid
        where membership.member = role.oid
    ) as member_of
from pg_roles as role
where role.rolname = any(%(roles)s);

-- name: tables
-- Tables.
select
    format('%%I.%%I', namespace.nspname, class.relname) as name,
    class.relrowsecurity as row_security,
    class.relforcerowsecurity as forced,
    class.relpersistence <> 'p' as unlogged,
    (select array_agg(option order by option) from unnest(class.reloptions) as option) as options,
    exists (
        select from pg_trigger where tgrelid = class.oid and tgisinternal and tgenabled = 'D'
    ) as unenforced,
    nullif(pg_get_userbyid(class.relowner)::text, %(owner)s) as owner
from pg_class as class
join pg_namespace as namespace on namespace.oid = class.relnamespace
where namespace.nspname = any(%(schemas)s)
    and class.relkind in ('r', 'p')
    and not exists (select from pg_depend where objid = class.oid and classid = 'pg_class'::regclass and deptype = 'e');

-- name: columns
-- Columns; of a generated one `default` is the expression.
select
    format('%%I.%%I.%%I', namespace.nspname, class.relname, attribute.attname) as name,
    format_type(attribute.atttypid, attribute.atttypmod) as type,
    not attribute.attnotnull as nullable,
    pg_get_expr(value.adbin, value.adrelid) as default,
    case attribute.attgenerated when 's' then 'stored' when 'v' then 'virtual' end as generated,
    case attribute.attidentity when 'a' then 'always' when 'd' then 'by default' end as identity
from pg_attribute as attribute
join pg_class as class on class.oid = attribute.attrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
left join pg_attrdef as value on value.adrelid = attribute.attrelid and value.adnum = attribute.attnum
where namespace.nspname = any(%(schemas)s)
    and class.relkind in ('r', 'p')
    and attribute.attnum > 0
    and not attribute.attisdropped
order by class.relname, attribute.attnum;

-- name: constraints
-- Keys and checks. Postgres 18 also keeps `not null` here: columns say that.
select
    format('%%I.%%I.%%I', namespace.nspname, class.relname, held.conname) as name,
    regexp_replace(pg_get_constraintdef(held.oid), ' NOT VALID$', '') as definition,
    not held.convalidated as unvalidated
from pg_constraint as held
join pg_class as class on class.oid = held.conrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
where namespace.nspname = any(%(schemas)s)
    and held.contype in ('p', 'u', 'f', 'c', 'x');

-- name: indexes
-- Indexes, but those that a constraint made.
select
    format('%%I.%%I.%%I', namespace.nspname, class.relname, relation.relname) as name,
    pg_get_indexdef(held.indexrelid) as definition,
    held.indisunique as unique,
    not (held.indisvalid and held.indisready) as invalid
from pg_index as held
join pg_class as relation on relation.oid = held.indexrelid
join pg_class as class on class.oid = held.indrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
where namespace.nspname = any(%(schemas)s)
    and class.relkind in ('r', 'p')
    and not exists (select from pg_constraint where conindid = held.indexrelid and contype in ('p', 'u', 'x'));

-- name: policies
-- Row-level security policies.
select
    format('%%I.%%I.%%I', namespace.nspname, class.relname, policy.polname) as name,
    case policy.polcmd
        when 'r' then 'select'
        when 'a' then 'insert'
        when 'w' then 'update'
        when 'd' then 'delete'
        else 'all'
    end as command,
    not policy.polpermissive as restrictive,
    (
        select array_agg(case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end order by role <> 0, pg_get_userbyid(role))
        from unnest(policy.polroles) as role
    ) as roles,
    pg_get_expr(policy.polqual, policy.polrelid) as using,
    pg_get_expr(policy.polwithcheck, policy.polrelid) as check
from pg_policy as policy
join pg_class as class on class.oid = policy.polrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
where namespace.nspname = any(%(schemas)s);

-- name: functions
-- Our functions: all are in `millrace`.
select
    format('%%I.%%I(%%s)', namespace.nspname, proc.proname, pg_get_function_identity_arguments(proc.oid)) as name,
    pg_get_function_arguments(proc.oid) as arguments,
    pg_get_function_result(proc.oid) as result,
    language.lanname as language,
    case proc.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end as volatility,
    proc.prosecdef as security_definer,
    proc.proisstrict as strict,
    case proc.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end as parallel,
    (select array_agg(setting order by setting) from unnest(proc.proconfig) as setting) as settings,
    coalesce(pg_get_function_sqlbody(proc.oid), proc.prosrc) as source,
    nullif(pg_get_userbyid(proc.proowner)::text, %(owner)s) as owner
from pg_proc as proc
join pg_namespace as namespace on namespace.oid = proc.pronamespace
join pg_language as language on language.oid = proc.prolang
where namespace.nspname = 'millrace';

-- name: triggers
-- Triggers on our tables, and those elsewhere that call our functions.
select
    format('%%I.%%I.%%I', namespace.nspname, class.relname, held.tgname) as name,
    pg_get_triggerdef(held.oid) as definition,
    held.tgenabled = 'D' as disabled
from pg_trigger as held
join pg_class as class on class.oid = held.tgrelid
join pg_namespace as namespace on namespace.oid = class.relnamespace
join pg_proc as proc on proc.oid = held.tgfoid
where not held.tgisinternal
    and (
        namespace.nspname = any(%(schemas)s)
        or proc.pronamespace = to_regnamespace('millrace')
    );

-- name: views
-- Views that read a table of ours as their owner, past row-level security, with the roles of ours that may read them.
select
    format('%%I.%%I', namespace.nspname, class.relname) as name,
    array_agg(distinct case granted.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(granted.grantee)) end)
        as readers
from pg_class as class
join pg_namespace as namespace on namespace.oid = class.relnamespace
cross join lateral aclexplode(class.relacl) as granted
where class.relkind in ('v', 'm')
    and not coalesce('security_invoker=true' = any(class.reloptions) or 'security_invoker=on' = any(class.reloptions), false)
    and granted.privilege_type = 'SELECT'
    and (granted.grantee = 0 or pg_get_userbyid(granted.grantee) = any(%(tenants)s))
    and exists (
        select
        from pg_rewrite as rule
        join pg_depend as uses on uses.classid = 'pg_rewrite'::regclass and uses.objid = rule.oid
        join pg_class as read on uses.refclassid = 'pg_class'::regclass and read.oid = uses.refobjid
        join pg_namespace as home on home.oid = read.relnamespace
        where rule.ev_class = class.oid
            and read.relkind in ('r', 'p')
            and home.nspname = any(%(schemas)s)
            and read.relrowsecurity
    )
group by namespace.nspname, class.relname;

-- name: grants
-- Who but the owner may do what: on schemas, tables, columns and functions. Postgres 17 adds `maintain` to `all`.
with held (kind, name, part, owner, acl) as (
    select 'schema', quote_ident(nspname), null, nspowner, coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace
    where nspname = any(%(schemas)s)
    union all
    select
        'table',
        format('%%I.%%I', nspname, relname),
        null,
        relowner,
        coalesce(relacl, acldefault('r', relowner))
    from pg_class
    join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = any(%(schemas)s)
        and relkind in ('r', 'p')
    union all
    select 'table', format('%%I.%%I', nspname, relname), quote_ident(attname), relowner, attacl
    from pg_attribute
    join pg_class on pg_class.oid = attrelid
    join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = any(%(schemas)s)
        and relkind in ('r', 'p')
        and attacl is not null
        and not attisdropped
    union all
    select
        'function',
        format('%%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)),
        null,
        proowner,
        coalesce(proacl, acldefault('f', proowner))
    from pg_proc
    join pg_namespace on pg_namespace.oid = pronamespace
    where nspname = 'millrace'
)
select
    held.kind,
    held.name,
    held.part,
    case granted.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(granted.grantee)) end as grantee,
    lower(granted.privilege_type) || case when granted.is_grantable then ' with grant option' else '' end as privilege
from held
cross join lateral aclexplode(held.acl) as granted
where granted.grantee <> held.owner
    and granted.privilege_type <> 'MAINTAIN';

-- name: default_privileges
-- What the owner's next tables, sequences and functions will be open to; '' stands for every schema.
with owner (oid) as (
    select oid
    from pg_roles
    where rolname = %(owner)s
),
kind (letter, acl_letter, name) as (
    values
        ('r'::"char", 'r'::"char", 'tables'),
        ('S'::"char", 's'::"char", 'sequences'),
        ('f'::"char", 'f'::"char", 'functions')
),
held (kind, schema, acl) as (
    select kind.name, '', coalesce(defaults.defaclacl, acldefault(kind.acl_letter, owner.oid))
    from owner
    cross join kind
    left join pg_default_acl as defaults
        on defaults.defaclrole = owner.oid
        and defaults.defaclnamespace = 0
        and defaults.defaclobjtype = kind.letter
    union all
    select kind.name, quote_ident(namespace.nspname), defaults.defaclacl
    from owner
    join pg_default_acl as defaults on defaults.defaclrole = owner.oid
    join kind on kind.letter = defaults.defaclobjtype
    join pg_namespace as namespace on namespace.oid = defaults.defaclnamespace
    where namespace.nspname = any(%(schemas)s)
)
select
    held.kind,
    held.schema,
    case granted.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(granted.grantee)) end as grantee,
    lower(granted.privilege_type) as privilege
from held
cross join owner
cross join lateral aclexplode(held.acl) as granted
where granted.grantee <> owner.oid
    and granted.privilege_type <> 'MAINTAIN';

-- name: has_buckets
-- Whether this is a Supabase project's database, or behaves like one.
select to_regclass('storage.buckets') is not null as has_buckets;

-- name: buckets
-- The buckets of Supabase Storage.
select id, public, file_size_limit, allowed_mime_types
from storage.buckets;
