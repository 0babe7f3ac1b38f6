-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- LinkedIn to Microsoft To Do. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        'd896be0a-edee-51f3-ba36-3f9061a77734', 'linkedin', 'LinkedIn', 'beta',
        '88f7c665-6ee6-5792-8941-1555070af179', '2025-12-19 16:05:27', true
    ),
    (
        'bfe0151f-4928-5664-91fd-cb8012d2d81f', 'looker', 'Looker', 'beta',
        '3559c63e-6778-57d9-bc85-c78fcd284087', '2025-12-19 16:05:27', true
    ),
    (
        '671b8b72-6ec5-5324-b6d3-730ddbdf8984', 'mailchimp', 'Mailchimp', 'beta',
        '2d77854b-4a6a-5b34-9324-197f4fe751ba', '2025-12-19 16:05:27', true
    ),
    (
        'edb08a0d-0644-5fc4-bd68-ef8751bba9d4', 'medium', 'Medium', 'beta',
        '2064db70-5c3c-5ad6-b86e-85d97555623f', '2025-12-19 16:05:27', true
    ),
    (
        'ac79a93d-53eb-545a-b418-8b6045edf033', 'metabase', 'Metabase', 'beta',
        '042d14ee-cef8-581a-82d4-e451a99e914d', '2025-12-19 16:05:27', true
    ),
    (
        '040b71f7-9aaa-5148-9b34-b8cdb0a27b80', 'microsoft-teams', 'Microsoft Teams', 'beta',
        '58a7d92b-fcab-5396-806e-7e50b3b1969a', '2025-12-19 16:05:27', true
    ),
    (
        '4d8a80c0-d7d3-51c9-89ab-5ced7e9ba6c8', 'microsoft-to-do', 'Microsoft To Do', 'beta',
        '9bf756c8-fee1-5677-8a4e-6ab1e18de446', '2025-12-19 16:05:27', true
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
    timestamp '2025-12-19 16:05:27'
from (
    values
        (
            '88f7c665-6ee6-5792-8941-1555070af179', 'linkedin',
            'Social Media', 'linkedin', 'LinkedIn: posts and audiences'
        ),
        (
            '3559c63e-6778-57d9-bc85-c78fcd284087', 'looker',
            'Analytics & Data', 'looker', 'Looker: data and reports'
        ),
        (
            '2d77854b-4a6a-5b34-9324-197f4fe751ba', 'mailchimp',
            'Communication & Collaboration', 'mailchimp', 'Mailchimp: messages and conversations'
        ),
        (
            '2064db70-5c3c-5ad6-b86e-85d97555623f', 'medium',
            'Social Media', 'medium', 'Medium: posts and audiences'
        ),
        (
            '042d14ee-cef8-581a-82d4-e451a99e914d', 'metabase',
            'Analytics & Data', 'metabase', 'Metabase: data and reports'
        ),
        (
            '58a7d92b-fcab-5396-806e-7e50b3b1969a', 'microsoft-teams',
            'Communication & Collaboration', 'microsoft-teams', 'Microsoft Teams: messages and conversations'
        ),
        (
            '9bf756c8-fee1-5677-8a4e-6ab1e18de446', 'microsoft-to-do',
            'Project Management', 'microsoft-todo', 'Microsoft To Do: projects and tasks'
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

-- Insightly was registered twice in the system this came from: a second row of the same version, which is kept, so
-- that references to either id hold.
insert into public.connectorversion (id, connector_id, version, manifest, created_at)
select
    'ca9fdb8d-8126-5aee-9ca2-e8a0e19b0a06',
    first.connector_id,
    first.version,
    first.manifest,
    timestamp '2025-12-19 16:05:27'
from public.connectorversion as first
join public.connector on connector.id = first.connector_id
where connector.slug = 'insightly'
    and first.version = '1.0.0'
    and (
        select count(*)
        from public.connectorversion as known
        where known.connector_id = first.connector_id
    ) = 1
on conflict do nothing;
