"""Pictures and PDFs from the citizen's device to the case."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from bot.conversations import attachments
from tests.channels.test_attachments import GOOD, PDF, png


def give(visit, *files, tile="图片"):
    """Choose files behind the plus."""
    visit.page.get_by_role("button", name="图片、文件和更多").click()
    with visit.page.expect_file_chooser() as chooser:
        visit.find(".tile", has_text=tile).click()
    chooser.value.set_files([{"name": n, "mimeType": t, "buffer": d} for n, t, d in files])


def stored(gateway):
    with gateway.hotline.readers() as session:
        found = attachments.of_conversation(session, gateway.conversations()[-1])
        return [attachments.read(session, each.id, config=gateway.hotline.config)[1] for each in found]


def test_a_picture_arrives_and_the_citizen_is_told(gateway, visit):
    give(visit, ("小票.png", "image/png", png(500)))
    expect(visit.find("article.user .FileCard-name")).to_have_text("小票.png")
    expect(visit.find("article.system")).to_contain_text("小票.png")
    expect(visit.find(".waiting")).to_have_count(0)
    assert stored(gateway) == [png(500)]
    visit.page.reload()
    expect(visit.find("article.user .FileCard-name")).to_have_text("小票.png")
    # The question that was open is open still.
    expect(visit.choices).not_to_have_count(0)


def test_several_at_once_and_a_pdf(gateway, visit):
    give(visit, ("一.png", "image/png", png()), ("二.jpg", "image/jpeg", GOOD["image/jpeg"]))
    expect(visit.find("article.system")).to_have_count(2)
    give(visit, ("合同.pdf", "application/pdf", PDF), tile="PDF文件")
    expect(visit.find("article.system")).to_have_count(3)
    assert sorted(stored(gateway)) == sorted([png(), GOOD["image/jpeg"], PDF])


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (("a.gif", "image/gif", b"GIF89a"), "只收图片"),
        (("a.png", "image/png", b""), "是空的"),
        (("a.png", "image/png", png(5 * 1024 * 1024)), "最多5MB"),
    ],
)
def test_what_cannot_be_sent_is_told_at_once(gateway, visit, file, said):
    give(visit, file)
    expect(visit.find(".refused")).to_contain_text(said)
    expect(visit.find(".waiting")).to_have_count(0)
    assert stored(gateway) == []


def test_a_file_that_only_says_it_is_a_picture_is_refused_by_the_server(gateway, visit):
    give(visit, ("假的.png", "image/png", b"<script>alert(1)</script>"))
    expect(visit.failed).to_contain_text("只收图片")
    visit.failed.get_by_role("button", name="知道了").click()
    expect(visit.failed).to_have_count(0)
    assert stored(gateway) == []


def test_a_lost_response_stores_the_picture_once(gateway, visit):
    lost = []

    def route(each):
        if lost:
            return each.continue_()
        lost.append(each)
        each.fetch()
        return each.abort()

    visit.page.route("**/attachments", route)
    give(visit, ("小票.png", "image/png", png()))
    expect(visit.find("article.system")).to_have_count(1)
    expect(visit.find("article.user .FileCard")).to_have_count(1)
    expect(visit.find(".waiting")).to_have_count(0)
    assert len(stored(gateway)) == 1


def test_a_picture_goes_out_when_the_network_is_back(gateway, visit):
    visit.page.context.set_offline(True)
    give(visit, ("小票.png", "image/png", png()))
    expect(visit.failed).to_contain_text("连上后会自动重发")
    visit.page.context.set_offline(False)
    expect(visit.find("article.system")).to_have_count(1)
    assert len(stored(gateway)) == 1


def test_a_reload_during_the_upload_says_that_the_file_is_to_be_chosen_again(gateway, visit):
    visit.page.route("**/attachments", lambda route: route.abort())
    give(visit, ("小票.png", "image/png", png()))
    expect(visit.failed).to_have_count(1)
    visit.page.reload()
    expect(visit.failed).to_contain_text("请重新选择文件")
    expect(visit.failed).to_contain_text("小票.png")
    visit.failed.get_by_role("button", name="知道了").click()
    visit.page.reload()
    expect(visit.bot).to_have_count(1)
    expect(visit.failed).to_have_count(0)


def test_a_picture_from_the_clipboard(gateway, visit):
    visit.page.evaluate(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "image.png", {type: "image/png"}));
        const box = document.querySelector("hotline-chat").shadowRoot.getElementById("entry");
        box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true})); }""",
        list(png()),
    )
    expect(visit.find("article.system")).to_have_count(1)
    assert stored(gateway) == [png()]
