-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Azure Blob Storage to Calendly. The manifests promise one connection test and nothing else; working ones come in
-- later migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '0880a272-c292-556b-9a47-60fe73180886', 'azure-blob-storage', 'Azure Blob Storage', 'beta',
        '165e2b42-266a-5466-a7e2-25db09da1c9e', '2025-12-19 15:29:58', true
    ),
    (
        '6d579923-5d70-549e-b384-8b8b5c24e2a6', 'basecamp', 'Basecamp', 'beta',
        '0a938217-0f66-5ac1-a4bd-9df36d3cd52c', '2025-12-19 15:29:58', true
    ),
    (
        '01e0b56b-6fc7-5874-b715-e69dc7675b08', 'bitbucket', 'Bitbucket', 'beta',
        '199b3acf-9d4b-5eb2-9e73-9b26d63598fe', '2025-12-19 15:29:58', true
    ),
    (
        '254cda44-c6ea-5bba-b443-796a4bbe9a80', 'box', 'Box', 'beta',
        '41258c8b-5569-5c52-b1ea-ac153aa96eaf', '2025-12-19 15:29:58', true
    ),
    (
        'f5023ae6-42c7-580e-8852-5485f11eaf44', 'braintree', 'Braintree', 'beta',
        'b65ecee4-699d-5260-acdd-22d93c67903f', '2025-12-19 15:29:58', true
    ),
    (
        '22151f59-ba86-59b6-a741-cbc888f77726', 'buffer', 'Buffer', 'beta',
        'f4b4ee02-ce8f-506c-8c7a-e7e14f0cf7d6', '2025-12-19 15:29:58', true
    ),
    (
        '6b733984-ab91-5b65-af6b-4bbdb9262fa2', 'calendly', 'Calendly', 'beta',
        '1008d559-8c3c-590e-937a-9fbaeb652939', '2025-12-19 15:29:58', true
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
    timestamp '2025-12-19 15:29:58'
from (
    values
        (
            '165e2b42-266a-5466-a7e2-25db09da1c9e', 'azure-blob-storage',
            'File Storage & Cloud', 'azure', 'Azure Blob Storage: stored files'
        ),
        (
            '0a938217-0f66-5ac1-a4bd-9df36d3cd52c', 'basecamp',
            'Project Management', 'basecamp', 'Basecamp: projects and tasks'
        ),
        (
            '199b3acf-9d4b-5eb2-9e73-9b26d63598fe', 'bitbucket',
            'Development & Code', 'bitbucket', 'Bitbucket: code, builds and infrastructure'
        ),
        (
            '41258c8b-5569-5c52-b1ea-ac153aa96eaf', 'box',
            'File Storage & Cloud', 'box', 'Box: stored files'
        ),
        (
            'b65ecee4-699d-5260-acdd-22d93c67903f', 'braintree',
            'E-commerce & Payments', 'braintree', 'Braintree: orders, invoices and payments'
        ),
        (
            'f4b4ee02-ce8f-506c-8c7a-e7e14f0cf7d6', 'buffer',
            'Social Media', 'buffer', 'Buffer: posts and audiences'
        ),
        (
            '1008d559-8c3c-590e-937a-9fbaeb652939', 'calendly',
            'Communication & Collaboration', 'calendly', 'Calendly: messages and conversations'
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
