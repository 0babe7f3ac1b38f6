-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Chargebee to Copper. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '1ed7a331-19f0-5631-ad1c-3a210da422d6', 'chargebee', 'Chargebee', 'beta',
        '30ab8090-14d7-5fde-aae7-e42081ca46fb', '2025-12-19 15:42:31', true
    ),
    (
        'cb2986d9-e5fc-522e-b332-5fc13937dbde', 'circleci', 'CircleCI', 'beta',
        '7588a371-a129-501d-8faa-a45d9dbae3c6', '2025-12-19 15:42:31', true
    ),
    (
        'e733de22-aba5-5ec6-90fb-25297c10a8de', 'clickup', 'ClickUp', 'beta',
        '9bf2cec5-4b46-5797-b885-6a21219d8015', '2025-12-19 15:42:31', true
    ),
    (
        '1e61e339-ba41-507c-8d02-0e0a6169352b', 'close', 'Close', 'beta',
        '74cca6fb-8aa7-5aad-be65-e1bc29024253', '2025-12-19 15:42:31', true
    ),
    (
        '681ad5d0-4384-593f-9def-c951a12f30d8', 'cloudinary', 'Cloudinary', 'beta',
        '0b85579e-dfd3-5d8a-8a1a-f6077ea9616b', '2025-12-19 15:42:31', true
    ),
    (
        'c0b2e0c7-b440-5b42-8fcd-8e538fbcf212', 'cohere', 'Cohere', 'beta',
        '0829b548-859e-5ec3-be78-ea14f56047ff', '2025-12-19 15:42:31', true
    ),
    (
        '34afe203-475d-546d-a7cd-51ae6d750464', 'copper', 'Copper', 'beta',
        '7bb3f95c-506b-5211-ae6d-2f4820788a0f', '2025-12-19 15:42:31', true
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
    timestamp '2025-12-19 15:42:31'
from (
    values
        (
            '30ab8090-14d7-5fde-aae7-e42081ca46fb', 'chargebee',
            'E-commerce & Payments', 'chargebee', 'Chargebee: orders, invoices and payments'
        ),
        (
            '7588a371-a129-501d-8faa-a45d9dbae3c6', 'circleci',
            'Development & Code', 'circleci', 'CircleCI: code, builds and infrastructure'
        ),
        (
            '9bf2cec5-4b46-5797-b885-6a21219d8015', 'clickup',
            'Project Management', 'clickup', 'ClickUp: projects and tasks'
        ),
        (
            '74cca6fb-8aa7-5aad-be65-e1bc29024253', 'close',
            'CRM & Sales', 'close', 'Close: contacts, deals and sales'
        ),
        (
            '0b85579e-dfd3-5d8a-8a1a-f6077ea9616b', 'cloudinary',
            'File Storage & Cloud', 'cloudinary', 'Cloudinary: stored files'
        ),
        (
            '0829b548-859e-5ec3-be78-ea14f56047ff', 'cohere',
            'AI & Machine Learning', 'cohere', 'Cohere: models'
        ),
        (
            '7bb3f95c-506b-5211-ae6d-2f4820788a0f', 'copper',
            'CRM & Sales', 'copper', 'Copper: contacts, deals and sales'
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
