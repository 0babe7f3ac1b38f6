-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Replicate to Smartsheet. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        'b02020b1-7ae5-59c7-af16-452bc83f8a3a', 'replicate', 'Replicate', 'beta',
        'ce725466-ffda-56c8-a6ec-ffcd440699d0', '2025-12-19 16:36:48', true
    ),
    (
        'd5015636-9f2a-5a90-a3ab-23f7a356ac24', 's3-compatible-storage', 'S3 Compatible Storage', 'beta',
        '77ce7309-c594-5851-b255-74aaa0889903', '2025-12-19 16:36:48', true
    ),
    (
        '4bf5feb8-607c-50cb-834e-469e77f68271', 'salesforce', 'Salesforce', 'beta',
        'b7f6ebc1-1ad3-53a9-b85a-ab1732fd44da', '2025-12-19 16:36:48', true
    ),
    (
        'ea3ecce5-0e8b-500d-b885-cea50b4f4130', 'segment', 'Segment', 'beta',
        'c6d68f89-1a1f-5526-8224-647dbc81f2a7', '2025-12-19 16:36:48', true
    ),
    (
        '0ccceee6-d3bd-5eaa-a3dd-315e1bc74f98', 'sendgrid', 'SendGrid', 'beta',
        '0317e044-2c24-5eb6-b699-a478bb3593b5', '2025-12-19 16:36:48', true
    ),
    (
        '173e7e2e-cbb8-5cd4-8f31-f875a644bdec', 'shopify', 'Shopify', 'beta',
        '8bfe2089-fb04-5b18-829c-b2481a90aa2b', '2025-12-19 16:36:48', true
    ),
    (
        '4575f9f9-bb28-53df-9ac0-ce4a91855333', 'smartsheet', 'Smartsheet', 'beta',
        'b924a4a3-4799-5e75-8de4-a8b2b1136493', '2025-12-19 16:36:48', true
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
    timestamp '2025-12-19 16:36:48'
from (
    values
        (
            'ce725466-ffda-56c8-a6ec-ffcd440699d0', 'replicate',
            'AI & Machine Learning', 'replicate', 'Replicate: models'
        ),
        (
            '77ce7309-c594-5851-b255-74aaa0889903', 's3-compatible-storage',
            'File Storage & Cloud', 's3-compatible', 'S3 Compatible Storage: stored files'
        ),
        (
            'b7f6ebc1-1ad3-53a9-b85a-ab1732fd44da', 'salesforce',
            'CRM & Sales', 'salesforce', 'Salesforce: contacts, deals and sales'
        ),
        (
            'c6d68f89-1a1f-5526-8224-647dbc81f2a7', 'segment',
            'Analytics & Data', 'segment', 'Segment: data and reports'
        ),
        (
            '0317e044-2c24-5eb6-b699-a478bb3593b5', 'sendgrid',
            'Communication & Collaboration', 'sendgrid', 'SendGrid: messages and conversations'
        ),
        (
            '8bfe2089-fb04-5b18-829c-b2481a90aa2b', 'shopify',
            'E-commerce & Payments', 'shopify', 'Shopify: orders, invoices and payments'
        ),
        (
            'b924a4a3-4799-5e75-8de4-a8b2b1136493', 'smartsheet',
            'Project Management', 'smartsheet', 'Smartsheet: projects and tasks'
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
