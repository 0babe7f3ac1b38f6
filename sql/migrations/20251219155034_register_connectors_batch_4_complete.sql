-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Front to Google BigQuery. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '6801d1b8-0cc3-53eb-8ea5-7bdd3d38093a', 'front', 'Front', 'beta',
        '579932b0-b36a-5e33-94ca-244af7b917a2', '2025-12-19 15:50:34', true
    ),
    (
        '069b4b35-8ec8-548f-8865-72070778c038', 'github', 'GitHub', 'beta',
        'd684acaf-8836-5c6d-82ba-d065d56c51e6', '2025-12-19 15:50:34', true
    ),
    (
        '9f507d9b-acac-59f1-91d4-dd9779f3b8ed', 'gitlab', 'GitLab', 'beta',
        '8eb6c140-57be-5246-943d-47c2e0e953f2', '2025-12-19 15:50:34', true
    ),
    (
        '39399d58-af52-5ac8-b73b-0b1a324ae27a', 'gmail', 'Gmail', 'beta',
        'bcfbb73d-78dd-548b-8ebc-dde2ff74a058', '2025-12-19 15:50:34', true
    ),
    (
        '35d9374b-bb0b-5d79-adfd-1dbff08902d2', 'google-ai', 'Google AI', 'beta',
        '558630ff-36d2-581f-9aa7-66baa470ad5a', '2025-12-19 15:50:34', true
    ),
    (
        '4ef43647-7cf2-5e38-a5ed-48181d742542', 'google-analytics', 'Google Analytics', 'beta',
        '79667b89-7979-5d35-85ce-66abee4c5625', '2025-12-19 15:50:34', true
    ),
    (
        '5e1836c5-5018-5094-9dda-64428b7daccb', 'google-bigquery', 'Google BigQuery', 'beta',
        '0ae2b5b1-90b9-5863-85d7-84a8350f6adf', '2025-12-19 15:50:34', true
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
    timestamp '2025-12-19 15:50:34'
from (
    values
        (
            '579932b0-b36a-5e33-94ca-244af7b917a2', 'front',
            'Communication & Collaboration', 'front', 'Front: messages and conversations'
        ),
        (
            'd684acaf-8836-5c6d-82ba-d065d56c51e6', 'github',
            'Development & Code', 'github', 'GitHub: code, builds and infrastructure'
        ),
        (
            '8eb6c140-57be-5246-943d-47c2e0e953f2', 'gitlab',
            'Development & Code', 'gitlab', 'GitLab: code, builds and infrastructure'
        ),
        (
            'bcfbb73d-78dd-548b-8ebc-dde2ff74a058', 'gmail',
            'Communication & Collaboration', 'gmail', 'Gmail: messages and conversations'
        ),
        (
            '558630ff-36d2-581f-9aa7-66baa470ad5a', 'google-ai',
            'AI & Machine Learning', 'google-ai', 'Google AI: models'
        ),
        (
            '79667b89-7979-5d35-85ce-66abee4c5625', 'google-analytics',
            'Analytics & Data', 'google-analytics', 'Google Analytics: data and reports'
        ),
        (
            '0ae2b5b1-90b9-5863-85d7-84a8350f6adf', 'google-bigquery',
            'Analytics & Data', 'bigquery', 'Google BigQuery: data and reports'
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
