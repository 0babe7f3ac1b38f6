-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Todoist to When2Meet. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '6760f7f4-f65c-5218-8fe6-18f2f7187f95', 'todoist', 'Todoist', 'beta',
        '88726687-abb2-56c1-9cd8-9fecf3fc14de', '2025-12-19 16:52:16', true
    ),
    (
        '4fa86939-3ab6-5ea8-8a31-9945d9a5b35b', 'trello', 'Trello', 'beta',
        'ec8ff616-94f9-5780-aa57-4c7617d2fefc', '2025-12-19 16:52:16', true
    ),
    (
        '5c8a207b-ac5c-5ee5-8f2c-71cd781c0432', 'twilio', 'Twilio', 'beta',
        '18b32a9f-9f86-5605-9513-b0fce41ffcf0', '2025-12-19 16:52:16', true
    ),
    (
        '81143754-197c-5c95-82ee-5e63d9eb8cbe', 'twitter', 'Twitter / X', 'beta',
        '1f1e8244-6694-5bb8-a171-b80390a83c26', '2025-12-19 16:52:16', true
    ),
    (
        '80c9e205-5b95-508c-8221-389bd140032b', 'vercel', 'Vercel', 'beta',
        '4fd13b5b-4b95-5794-8df5-923d7b983551', '2025-12-19 16:52:16', true
    ),
    (
        '100c15aa-b9ed-52e7-b242-b8f4d57be660', 'whatsapp-business', 'WhatsApp Business', 'beta',
        '699f97dc-e540-5608-8e96-b0c89fdc0375', '2025-12-19 16:52:16', true
    ),
    (
        'f1a5a65b-5f91-5cda-a38d-266cf0118a9c', 'when2meet', 'When2Meet', 'beta',
        '0367db51-f5f7-57ff-ab3a-de002be5379b', '2025-12-19 16:52:16', true
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
    timestamp '2025-12-19 16:52:16'
from (
    values
        (
            '88726687-abb2-56c1-9cd8-9fecf3fc14de', 'todoist',
            'Project Management', 'todoist', 'Todoist: projects and tasks'
        ),
        (
            'ec8ff616-94f9-5780-aa57-4c7617d2fefc', 'trello',
            'Project Management', 'trello', 'Trello: projects and tasks'
        ),
        (
            '18b32a9f-9f86-5605-9513-b0fce41ffcf0', 'twilio',
            'Communication & Collaboration', 'twilio', 'Twilio: messages and conversations'
        ),
        (
            '1f1e8244-6694-5bb8-a171-b80390a83c26', 'twitter',
            'Social Media', 'twitter', 'Twitter / X: posts and audiences'
        ),
        (
            '4fd13b5b-4b95-5794-8df5-923d7b983551', 'vercel',
            'Development & Code', 'vercel', 'Vercel: code, builds and infrastructure'
        ),
        (
            '699f97dc-e540-5608-8e96-b0c89fdc0375', 'whatsapp-business',
            'Communication & Collaboration', 'whatsapp', 'WhatsApp Business: messages and conversations'
        ),
        (
            '0367db51-f5f7-57ff-ab3a-de002be5379b', 'when2meet',
            'Productivity & Notes', 'when2meet', 'When2Meet: notes and plans'
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
