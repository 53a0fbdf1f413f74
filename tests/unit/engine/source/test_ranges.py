"""Version ranges over tags as revisions."""

from __future__ import annotations

import pytest
from tests.unit.engine.source.trees import Bare

from tiphys.engine.source.git import GitRepositories
from tiphys.engine.source.resolve import revision_expression
from tiphys.engine.states import StageError


async def test_a_range_takes_the_highest_tag_and_a_version_takes_the_tag_of_its_name(
    bare: Bare, repositories: GitRepositories
) -> None:
    commits = {}
    for tag in ("v1.0.0", "v1.2.0", "v1.10.0", "v1.11.0-rc.1", "v2.0.0", "nightly"):
        commits[tag] = bare.commit({"a": tag})
        bare.git("tag", "-a", "-m", tag, tag, commits[tag])
    commits["branch"] = bare.commit({"a": "branch"}, branch="release-1.x")
    expected = {
        "^1": "v1.10.0",
        "1.2.*": "v1.2.0",
        "v1.2.x": "v1.2.0",
        ">=1.2 <2": "v1.10.0",
        ">=1.11-0 <2": "v1.11.0-rc.1",
        "*": "v2.0.0",
        "v1.0.0": "v1.0.0",
        "release-1.x": "branch",
    }
    found = {expression: await repositories.revision(bare.url, expression) for expression in expected}
    assert found == {expression: commits[tag] for expression, tag in expected.items()}
    with pytest.raises(StageError, match=r"unable to resolve '1\.2'"):  # a version, and there is no tag 1.2
        await repositories.revision(bare.url, "1.2")


async def test_a_range_that_no_tag_satisfies_may_be_the_name_of_a_branch(
    bare: Bare, repositories: GitRepositories
) -> None:
    sha = bare.commit({"a": "1"}, branch="3.x")
    assert await repositories.revision(bare.url, "3.x") == sha
    bare.git("tag", "v3.1.0", bare.commit({"a": "2"}))
    tagged = await repositories.revision(bare.url, "3.x", refresh=True)
    assert tagged != sha


async def test_a_new_tag_moves_the_range_at_the_next_fetch(bare: Bare, repositories: GitRepositories) -> None:
    bare.git("tag", "1.0.0", bare.commit({"a": "1"}))
    first = await repositories.revision(bare.url, "^1")
    bare.git("tag", "1.1.0", bare.commit({"a": "2"}))
    assert await repositories.revision(bare.url, "^1") == first
    assert await repositories.revision(bare.url, "^1", refresh=True) != first


async def test_a_tag_prefix_chooses_the_tags_of_one_component(bare: Bare, repositories: GitRepositories) -> None:
    web = bare.commit({"a": "1"})
    bare.git("tag", "web/v1.1.0", web)
    other = bare.commit({"a": "2"})
    bare.git("tag", "db/v1.9.0", other)
    bare.git("tag", "v1.8.0", other)
    assert await repositories.revision(bare.url, revision_expression("^1", "web/")) == web
    with pytest.raises(StageError, match=r"not found in 1 tags with the prefix 'web/' of .*: web/v1\.1\.0"):
        await repositories.revision(bare.url, revision_expression("^2", "web/"))
    for revision, prefix in (("main", "web/"), ("1.1.0", "web/"), ("^1", "--all"), ("^1", "a b")):
        with pytest.raises(StageError) as caught:
            await repositories.revision(bare.url, revision_expression(revision, prefix))
        assert caught.value.reason == "InvalidSpecError"


async def test_a_range_without_a_match_says_what_tags_there_are(bare: Bare, repositories: GitRepositories) -> None:
    bare.git("tag", "v1.0.0", bare.commit({"a": "1"}))
    with pytest.raises(StageError, match=r"version matching constraint not found in 1 tags of .*: v1\.0\.0"):
        await repositories.revision(bare.url, ">=2")
