-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Databricks to Freshdesk. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '2e385825-87a3-59e4-8df7-0bef5dbb8c03', 'databricks', 'Databricks', 'beta',
        '0210e96e-be2c-50d1-9aa2-1645bc35641f', '2025-12-19 15:43:35', true
    ),
    (
        '464963a9-85c4-5779-99ba-3b9b026a6ea5', 'discord', 'Discord', 'beta',
        '837ce8c0-8a52-578e-a7c5-50a092589150', '2025-12-19 15:43:35', true
    ),
    (
        '4faa2cd1-c663-5ddf-bbaf-0f94873ac162', 'docker-hub', 'Docker Hub', 'beta',
        'cb9bc575-412d-5408-9e65-b1cb88f2ac6c', '2025-12-19 15:43:35', true
    ),
    (
        'c44c3ab6-7837-5fb2-9ab3-fc4c06461d57', 'doodle', 'Doodle', 'beta',
        '9db93b72-81b6-51dd-a363-9772faa366e1', '2025-12-19 15:43:35', true
    ),
    (
        '15a6edb1-04ac-56aa-bb38-2f60c697134b', 'dropbox', 'Dropbox', 'beta',
        'bb12fe7c-d985-5aa1-a294-384dfcf21bb5', '2025-12-19 15:43:35', true
    ),
    (
        'aec48d1c-edff-542b-b3ed-b4c80a3e197d', 'facebook', 'Facebook', 'beta',
        'd1f169fb-f071-5079-99fd-454b005d1f30', '2025-12-19 15:43:35', true
    ),
    (
        'ebed6fdf-4318-5339-aef5-e5cb35bd8a55', 'freshdesk', 'Freshdesk', 'beta',
        'd2b5699f-f43c-5ace-af9e-32e888df055d', '2025-12-19 15:43:35', true
    )
on conflict do nothing;

insert into public.connectorversion (id, connector_id, version, manifest, created_at)
select
    listed.id::uuid,
    connector.id,
    '1.0.0',
    jsonb_build_object(
        'name', connector.name,
        'slug', connector.slug,
        'version', '1.0.0',
        'description', listed.description,
        'category', listed.category,
        'status', 'beta',
        'nango', jsonb_build_object('enabled', true, 'provider_key', listed.provider_key),
        'oauth', jsonb_build_object(
            'authorization_url', 'https://api.nango.dev/oauth/' || listed.provider_key,
            'token_url', 'https://api.nango.dev/oauth/' || listed.provider_key || '/token',
            'default_scopes', '[]'::jsonb,
            'authorization_params', '{}'::jsonb
        ),
        'actions', jsonb_build_object(
            'test_connection', jsonb_build_object(
                'name', 'Test Connection',
                'description', 'Test the ' || connector.name || ' connection',
                'method', 'GET',
                'endpoint', '/test'
            )
        ),
        'triggers', '{}'::jsonb
    ),
    timestamp '2025-12-19 15:43:35'
from (
    values
        (
            '0210e96e-be2c-50d1-9aa2-1645bc35641f', 'databricks',
            'Analytics & Data', 'databricks', 'Databricks: data and reports'
        ),
        (
            '837ce8c0-8a52-578e-a7c5-50a092589150', 'discord',
            'Communication & Collaboration', 'discord', 'Discord: messages and conversations'
        ),
        (
            'cb9bc575-412d-5408-9e65-b1cb88f2ac6c', 'docker-hub',
            'Development & Code', 'docker', 'Docker Hub: code, builds and infrastructure'
        ),
        (
            '9db93b72-81b6-51dd-a363-9772faa366e1', 'doodle',
            'Calendar & Scheduling', 'doodle', 'Doodle: calendars and appointments'
        ),
        (
            'bb12fe7c-d985-5aa1-a294-384dfcf21bb5', 'dropbox',
            'File Storage & Cloud', 'dropbox', 'Dropbox: stored files'
        ),
        (
            'd1f169fb-f071-5079-99fd-454b005d1f30', 'facebook',
            'Social Media', 'facebook', 'Facebook: posts and audiences'
        ),
        (
            'd2b5699f-f43c-5ace-af9e-32e888df055d', 'freshdesk',
            'Communication & Collaboration', 'freshdesk', 'Freshdesk: messages and conversations'
        )
) as listed (id, slug, category, provider_key, description)
join public.connector on connector.slug = listed.slug
where connector.owner_id is null
    and not exists (
        select
        from public.connectorversion as known
        where known.connector_id = connector.id
            and known.version = '1.0.0'
    )
on conflict do nothing;
