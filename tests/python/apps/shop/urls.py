from django import forms
from django.contrib import messages
from django.core.signals import request_finished
from django.db import connection, transaction
from django.dispatch import receiver
from django.http import FileResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import logging
import os

from shop.models import Item

log = logging.getLogger(__name__)


class ItemForm(forms.ModelForm):
    class Meta:
        model = Item
        fields = ["name", "price"]


class UploadForm(forms.Form):
    file = forms.FileField()
    note = forms.CharField()


@receiver(request_finished)
def finished(sender, **kwargs):
    log.info("request finished")


def items(request):
    form = ItemForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved")
        return redirect("items")
    return render(request, "shop/items.html", {"form": form, "items": Item.objects.order_by("id")})


def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"]})


@csrf_exempt
def upload(request):
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return JsonResponse(form.errors, status=400)
    given = form.cleaned_data["file"]
    return JsonResponse({"name": given.name, "size": sum(map(len, given.chunks())), "note": form.cleaned_data["note"]})


@csrf_exempt
def raw(request):
    first = request.read(10)
    return JsonResponse({"first": first.decode(), "size": len(first) + len(request.read())})


def stream(request):
    """Rows as they come from the database, in a transaction that is no other request's."""

    def rows():
        for item in Item.objects.order_by("id").iterator(chunk_size=10):
            yield f"{item.name},{item.price}\n"

    return StreamingHttpResponse(rows(), content_type="text/csv")


@csrf_exempt
def fill(request):
    with transaction.atomic():
        Item.objects.bulk_create(Item(name="x" * 90, price=number) for number in range(int(request.GET["rows"])))
    return JsonResponse({"rows": Item.objects.count(), "autocommit": connection.get_autocommit()})


def file(request):
    return FileResponse(open(os.environ["FILE"], "rb"), filename="file.bin")


def fail(request):
    raise RuntimeError("failed in a view")


def where(request):
    return JsonResponse({"url": request.build_absolute_uri(), "secure": request.is_secure()})


urlpatterns = [
    path("", items, name="items"),
    path("visits", visits),
    path("upload", upload),
    path("raw", raw),
    path("stream", stream),
    path("fill", fill),
    path("file", file),
    path("fail", fail),
    path("where", where),
]
