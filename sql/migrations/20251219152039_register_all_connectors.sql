-- Registers 8 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- ActiveCampaign to AWS. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '239f4a73-e6ac-5e6f-9d35-d3f99529274d', 'activecampaign', 'ActiveCampaign', 'beta',
        '6c04b956-54c7-51a5-912d-e91404b0b378', '2025-12-19 15:20:39', true
    ),
    (
        '0a63e127-3213-5eae-91f7-9899217087b8', 'airtable', 'Airtable', 'beta',
        'c252f606-08de-5f26-badd-a244f6bdd52d', '2025-12-19 15:20:39', true
    ),
    (
        'fe24a1a3-da47-5a43-a990-b9ae4fe98d3e', 'amazon-s3', 'Amazon S3', 'beta',
        '9a0b062e-0301-57b2-8c37-789b4f58efd5', '2025-12-19 15:20:39', true
    ),
    (
        '4886d185-d48f-5d34-8fe6-8e951a16f0ed', 'amplitude', 'Amplitude', 'beta',
        '7e87e689-b8a8-5596-85e4-0753077489fc', '2025-12-19 15:20:39', true
    ),
    (
        'c533eae2-895f-5ed0-b4f2-7d290f013a82', 'anthropic-claude', 'Anthropic Claude', 'beta',
        'cc48ccfb-b986-589f-a0ba-91949abc4b6e', '2025-12-19 15:20:39', true
    ),
    (
        '4a2b54af-fb03-5a12-a7fe-b6125856acd6', 'apple-calendar', 'Apple Calendar', 'beta',
        '77aa2c45-9664-5b2f-9873-a3e0509aae8d', '2025-12-19 15:20:39', true
    ),
    (
        'bbc4fc96-4c61-5d30-a121-077829f72ef6', 'asana', 'Asana', 'beta',
        '9169f51d-5769-561b-9c2a-4bdc69c12966', '2025-12-19 15:20:39', true
    ),
    (
        '8ee5005d-05f0-564e-9753-cbb699d5cbf3', 'aws', 'AWS', 'beta',
        '356a5b3c-3cb5-5d28-a71e-8fdf12042310', '2025-12-19 15:20:39', true
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
    timestamp '2025-12-19 15:20:39'
from (
    values
        (
            '6c04b956-54c7-51a5-912d-e91404b0b378', 'activecampaign',
            'CRM & Sales', 'activecampaign', 'ActiveCampaign: contacts, deals and sales'
        ),
        (
            'c252f606-08de-5f26-badd-a244f6bdd52d', 'airtable',
            'CRM & Sales', 'airtable', 'Airtable: contacts, deals and sales'
        ),
        (
            '9a0b062e-0301-57b2-8c37-789b4f58efd5', 'amazon-s3',
            'File Storage & Cloud', 'aws-s3', 'Amazon S3: stored files'
        ),
        (
            '7e87e689-b8a8-5596-85e4-0753077489fc', 'amplitude',
            'Analytics & Data', 'amplitude', 'Amplitude: data and reports'
        ),
        (
            'cc48ccfb-b986-589f-a0ba-91949abc4b6e', 'anthropic-claude',
            'AI & Machine Learning', 'anthropic', 'Anthropic Claude: models'
        ),
        (
            '77aa2c45-9664-5b2f-9873-a3e0509aae8d', 'apple-calendar',
            'Calendar & Scheduling', 'apple-calendar', 'Apple Calendar: calendars and appointments'
        ),
        (
            '9169f51d-5769-561b-9c2a-4bdc69c12966', 'asana',
            'Project Management', 'asana', 'Asana: projects and tasks'
        ),
        (
            '356a5b3c-3cb5-5d28-a71e-8fdf12042310', 'aws',
            'Development & Code', 'aws', 'AWS: code, builds and infrastructure'
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
