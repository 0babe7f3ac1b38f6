-- Refuses to go on while secrets of the system we adopt would be thrown away. Runs before the code.
-- millrace: re-runnable
--
-- The next migration empties the columns in which that system kept secrets in clear text. `millrace adopt` seals them
-- first, into `millrace.adopted_secret`, and moves them to `secret` when that exists; whoever migrates such a database
-- in another way is stopped here. A new database, and one whose columns are empty already, pass.

do $kept$
declare
    open bigint;
begin
    execute format(
        $query$
            select count(*)
            from (
                select 'user' as place, id from public."user" where hashed_password <> ''
                union all
                select 'workflowwebhooksubscription', id from public.workflowwebhooksubscription where secret <> ''
                union all
                select 'webhooksubscription', id from public.webhooksubscription where endpoint_secret <> ''
                union all
                select 'user_api_key', id from public.user_api_key where key_hash <> ''
                union all
                select 'connectorversion', id from public.connectorversion
                where manifest #>> '{oauth,client_secret}' <> ''
            ) as found
            where %s
        $query$,
        case
            when to_regclass('millrace.adopted_secret') is null then 'true'
            else
                'not exists (select from millrace.adopted_secret as kept '
                'where kept.table_name = found.place and kept.row_id = found.id)'
        end
    )
    into open;
    if open > 0 then
        raise exception '% secrets in clear text would be lost', open
            using errcode = 'MR409', hint = 'Run `millrace adopt`: it seals and moves them, and then migrates.';
    end if;
end
$kept$;
