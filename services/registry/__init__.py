"""The registry owns apps, repositories, revisions, deployments, secrets, tokens and webhooks.

It never runs a container, opens a box or routes a request: the scheduler runs the revisions that are validated here.

    forges/       what each forge's webhooks look like: recognised, proven, parsed; pure
    git/          clones of repositories, remote addresses and credentials, polling
    checks/       rules for manifests: files in, a catalog and problems out; pure
    deployments/  a deployment's states, the decision about a push, the worker that deploys
    apply/        `mlmesh apply`: the request and its execution
    secrets/      encryption of secret values, tokens and who they belong to
    db/           tables and every SQL statement
    routes/       HTTP
"""
